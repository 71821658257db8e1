// The machine below the tiny guest: QEMU's PC (i440fx, PIIX), as the engine makes it.
#include "tiny.h"

enum {
  SERIAL = 0x3f8,
  PIC1 = 0x20,
  PIC2 = 0xa0,
  TICKS_HZ = 20,          // what the guest does by itself needs no more, and each tick costs an emulated CPU
  PIT_HZ = 1193182,
  PM_TIMER_HZ = 3579545,
  PM_ENABLE = 2, PM_CONTROL = 4, PM_TIMER = 8, // from the power management's first port on
  POWER_BUTTON = 1 << 8,
  SLEEP_NOW = 1 << 13,    // with type 0: off
  MOST_DEVICES = 4,
};

static u16 power_ports;
static u16 quieted[MOST_DEVICES];
static int devices;
static u32 timer_before;
static u64 timer_ticks;

void *memcpy(void *to, const void *from, unsigned n) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
  return start;
}

void *memset(void *to, int byte, unsigned n) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
  return start;
}

int memcmp(const void *a, const void *b, unsigned n) {
  const u8 *x = a, *y = b;
  for (; n > 0; n--, x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}

void say(const char *text) {
  for (; *text; text++) out8(SERIAL, (u8)*text);
  out8(SERIAL, '\n');
}

void switch_off(void) {
  out16(power_ports + PM_CONTROL, SLEEP_NOW);
  for (;;) __asm__ volatile("cli; hlt");
}

void fail(const char *what) {
  for (const char *t = "GUEST FAILED "; *t; t++) out8(SERIAL, (u8)*t);
  say(what);
  switch_off();
}

void guest_fault(void) { fail("a fault of the processor"); }

// ---- PCI ----

static u32 pci_read(u32 function, u8 at) {
  out32(0xcf8, 0x80000000u | function << 8 | (at & 0xfc));
  return in32(0xcfc);
}

static void pci_write(u32 function, u8 at, u32 v) {
  out32(0xcf8, 0x80000000u | function << 8 | (at & 0xfc));
  out32(0xcfc, v);
}

// Device and function on the first bus.
static u32 pci_find(u16 vendor, u16 device) {
  for (u32 function = 0; function < 256; function++)
    if (pci_read(function, 0) == ((u32)device << 16 | vendor)) return function;
  fail("a device is missing");
}

static void let_interrupt(u8 line) {
  u16 mask = line < 8 ? PIC1 + 1 : PIC2 + 1;
  out8(mask, in8(mask) & ~(1 << (line & 7)));
}

u16 find_device(u16 vendor, u16 device) {
  u32 function = pci_find(vendor, device);
  // I/O ports, and memory access of its own.
  pci_write(function, 4, (pci_read(function, 4) & 0xffff) | 0x5);
  u32 bar = pci_read(function, 0x10);
  if (!(bar & 1) || devices == MOST_DEVICES) fail("a device without I/O ports");
  u16 ports = bar & 0xfffc;
  quieted[devices++] = ports;
  let_interrupt(pci_read(function, 0x3c) & 0xf);
  return ports;
}

// ---- interrupts ----

// Level triggered: reading the devices' status takes the reason away. The main loop then looks at everything.
void quiet_devices(void) {
  for (int i = 0; i < devices; i++) in8(quieted[i] + 19);
  if (power_ports) {
    u16 status = in16(power_ports);
    // The timer's carry and the like; the button is for the main loop.
    out16(power_ports, status & ~POWER_BUTTON);
    if (status & POWER_BUTTON) out16(power_ports + PM_ENABLE, 0);
  }
  out8(PIC2, 0x20);
  out8(PIC1, 0x20);
}

void start_machine(void) {
  static const u8 words[] = {0x11, 0x20, 4, 1}, words2[] = {0x11, 0x28, 2, 1};
  for (int i = 0; i < 4; i++) {
    out8(PIC1 + (i > 0), words[i]);
    out8(PIC2 + (i > 0), words2[i]);
  }
  out8(PIC1 + 1, 0xff & ~(1 << 0 | 1 << 2));
  out8(PIC2 + 1, 0xff);
  out8(0x43, 0x34);
  out8(0x40, (PIT_HZ / TICKS_HZ) & 0xff);
  out8(0x40, (PIT_HZ / TICKS_HZ) >> 8);
  // PIIX4's power management has its ports where the firmware put them.
  power_ports = pci_read(pci_find(0x8086, 0x7113), 0x40) & 0xffc0;
  out16(power_ports + PM_CONTROL, 1);
  out16(power_ports + PM_ENABLE, POWER_BUTTON);
  let_interrupt(9);
  timer_before = in32(power_ports + PM_TIMER) & 0xffffff;
}

void may_sleep(void) { __asm__ volatile("cli" ::: "memory"); }
void sleep(void) { __asm__ volatile("sti; hlt" ::: "memory"); }

// Not from counted ticks: some are lost when the engine is starved, and a replica's clock must not stand still. Looked at in each tick,
// long before the timer's 24 bits are round.
u32 now_ms(void) {
  u32 now = in32(power_ports + PM_TIMER) & 0xffffff;
  timer_ticks += (now - timer_before) & 0xffffff;
  timer_before = now;
  // 3579545 Hz; without a division of 64 bits, which would need a library.
  static u32 ms, rest;
  rest += (u32)timer_ticks * 200;
  timer_ticks = 0;
  ms += rest / (PM_TIMER_HZ / 5);
  rest %= PM_TIMER_HZ / 5;
  return ms;
}

int power_button_pressed(void) { return (in16(power_ports) & POWER_BUTTON) != 0; }
