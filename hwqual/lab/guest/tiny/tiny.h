// The parts of the tiny guest, and what each offers to the others. No library, one thread: the main loop looks at everything after each
// interrupt, and nothing waits but the start.
#pragma once
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

enum { SECTOR_BYTES = 512, FRAME_BYTES = 1514 };

// ---- machine.c: ports, PCI, interrupts, time, the serial port ----
static inline void out8(u16 port, u8 v) { __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port)); }
static inline void out16(u16 port, u16 v) { __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port)); }
static inline void out32(u16 port, u32 v) { __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u16 in16(u16 port) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 in32(u16 port) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }

void *memcpy(void *to, const void *from, unsigned n);
void *memset(void *to, int byte, unsigned n);
int memcmp(const void *a, const void *b, unsigned n);

void say(const char *text);
// Says why, and switches off.
__attribute__((noreturn)) void fail(const char *what);
__attribute__((noreturn)) void switch_off(void);
void start_machine(void);
// The I/O ports of the first PCI device with these ids; its interrupts come from here on.
u16 find_device(u16 vendor, u16 device);
// Until the next interrupt. Interrupts that came since `may_sleep` end it at once.
void may_sleep(void);
void sleep(void);
u32 now_ms(void);
int power_button_pressed(void);

// ---- virtio.c: the legacy interface (virtio 0.9), which QEMU's PC still offers ----
enum { QUEUE_SIZE = 256, RING_BYTES = 3 * 4096 };
struct part { void *at; u32 length; };
struct queue {
  u16 ports, number, size, free, last_used;
  u8 *ring;
};
void start_device(u16 ports);
void device_ready(u16 ports);
void open_queue(struct queue *q, u16 ports, u16 number, u8 *ring);
// One buffer in two or three parts, of which the device fills those from `readable` on. Chains take the places 4 * slot ... + 3.
void offer(struct queue *q, u16 slot, const struct part *parts, int count, int readable);
void notify(struct queue *q);
// The slot of a buffer that the device is through with; -1: none.
int take_used(struct queue *q, u32 *length);

// ---- network.c ----
void start_network(u32 address);
void serve_network(void);
// A reply made of a request: see network.c.
struct request { u8 frame[FRAME_BYTES]; u32 length; };
void answer_datagram(struct request *r, const char *text);

// ---- records.c: the disk ----
void start_records(void);
void serve_records(void);
void on_command(struct request *r, char *line);
int records_idle(void);

// ---- main.c ----
char *put_number(char *at, u32 n);
char *put_text(char *at, const char *text);
extern u32 beat_ms;
