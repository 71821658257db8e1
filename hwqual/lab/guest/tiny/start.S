# Where the tiny guest begins: multiboot (the loader has switched to 32-bit protected mode, flat, without paging, interrupts off), its own
# segments and interrupt table, a stack, and then C. Every interrupt ends in one function that quiets the devices.
  .set MAGIC, 0x1badb002
  .section .multiboot, "a"
  .align 4
  .long MAGIC, 0, -MAGIC

  .text
  .globl start
start:
  cld
  lgdt segments_pointer
  ljmp $0x08, $1f
1:movw $0x10, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  movl $stack_top, %esp
  pushl %ebx
  # 16 interrupts of the two controllers at vectors 32 to 47; below them are the processor's own faults.
  movl $interrupts, %edi
  movl $fault, %eax
  movl $32, %ecx
  call gates
  movl $interrupted, %eax
  movl $16, %ecx
  call gates
  lidt interrupts_pointer
  call guest_main
2:cli
  hlt
  jmp 2b

# %ecx gates at %edi that lead to %eax.
gates:
  movl %eax, %edx
  andl $0xffff, %edx
  orl $0x00080000, %edx
  movl %edx, (%edi)
  movl %eax, %edx
  movw $0x8e00, %dx
  movl %edx, 4(%edi)
  addl $8, %edi
  loop gates
  ret

interrupted:
  pusha
  call quiet_devices
  popa
  iret

fault:
  call guest_fault
  jmp 2b

  .align 8
segments:
  .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
segments_pointer:
  .word 23
  .long segments
interrupts_pointer:
  .word 48 * 8 - 1
  .long interrupts

  .bss
  .align 16
interrupts:
  .skip 48 * 8
  .align 16
  .skip 16384
stack_top:
  .section .note.GNU-stack, "", @progbits
