// Queues of legacy virtio devices: a table of places, what is offered, what is used (virtio 0.9.5, 2.3). One queue has the size that the
// device says; a buffer of up to four parts takes four places of its own, so that nothing has to be searched.
#include "tiny.h"

enum { FEATURES = 4, ADDRESS = 8, SIZE = 12, SELECT = 14, NOTIFY = 16, STATUS = 18 };
enum { NEXT = 1, WRITABLE = 2 };

struct place { u64 address; u32 length; u16 flags, next; };

static struct place *places(struct queue *q) { return (struct place *)q->ring; }
static volatile u16 *available(struct queue *q) { return (volatile u16 *)(q->ring + 16 * q->size); }
static volatile u8 *used(struct queue *q) { return q->ring + ((16 * q->size + 6 + 2 * q->size + 4095) & ~4095u); }

void start_device(u16 ports) {
  out8(ports + STATUS, 0);
  out8(ports + STATUS, 1 | 2);
  // None of its extras. A disk without them has each write on the disk before it says so.
  out32(ports + FEATURES, 0);
}

void device_ready(u16 ports) { out8(ports + STATUS, 1 | 2 | 4); }

void open_queue(struct queue *q, u16 ports, u16 number, u8 *ring) {
  out16(ports + SELECT, number);
  *q = (struct queue){.ports = ports, .number = number, .size = in16(ports + SIZE), .ring = ring};
  if (q->size == 0 || q->size > QUEUE_SIZE) fail("a device with queues of another size");
  memset(ring, 0, RING_BYTES);
  out32(ports + ADDRESS, (u32)ring >> 12);
}

void offer(struct queue *q, u16 slot, const struct part *parts, int count, int readable) {
  u16 head = slot * 4;
  for (int i = 0; i < count; i++)
    places(q)[head + i] = (struct place){
        .address = (u32)parts[i].at,
        .length = parts[i].length,
        .flags = (i + 1 < count ? NEXT : 0) | (i >= readable ? WRITABLE : 0),
        .next = head + i + 1,
    };
  volatile u16 *ring = available(q);
  ring[2 + ring[1] % q->size] = head;
  __sync_synchronize();
  ring[1]++;
}

void notify(struct queue *q) {
  __sync_synchronize();
  out16(q->ports + NOTIFY, q->number);
}

int take_used(struct queue *q, u32 *length) {
  volatile u8 *ring = used(q);
  if (*(volatile u16 *)(ring + 2) == q->last_used) return -1;
  __sync_synchronize();
  volatile u32 *element = (volatile u32 *)(ring + 4 + 8 * (q->last_used % q->size));
  q->last_used++;
  if (length) *length = element[1];
  return element[0] / 4;
}
