// The tiny guest's disk: how often it started, a beat, and records that a client asked for. Each write is on the disk before it is answered.
//   sector 0: "TINY <starts>"   sector 1: "BEAT <n>"   sector 8 and on: "R <number>", one record each; every sector filled up with zeros
#include "tiny.h"

enum { STARTS = 0, BEAT = 1, FIRST_RECORD = 8, MOST_DIGITS = 9 };
enum { READ = 0, WRITE = 1 };
// What may be on its way at once: one of each.
enum { BEAT_SLOT, RECORD_SLOT, SLOTS };

struct head { u32 type, priority; u64 sector; };
struct transfer { struct head head; u8 bytes[SECTOR_BYTES]; volatile u8 status; int busy; };

static u8 disk_ring[RING_BYTES] __attribute__((aligned(4096)));
static struct queue queue;
static struct transfer transfers[SLOTS];
static u32 starts, beats, records, last_record, sectors, last_beat_ms;
static struct request waiting;
static char text[128];

static void begin(int slot, u32 type, u32 sector) {
  struct transfer *t = &transfers[slot];
  t->head = (struct head){type, 0, sector};
  t->status = 0xff;
  t->busy = 1;
  struct part parts[] = {{&t->head, 16}, {t->bytes, SECTOR_BYTES}, {(void *)&t->status, 1}};
  offer(&queue, (u16)slot, parts, 3, type == WRITE ? 2 : 1);
  notify(&queue);
}

static void put_line(int slot, const char *word, u32 n) {
  u8 *bytes = transfers[slot].bytes;
  memset(bytes, 0, SECTOR_BYTES);
  *put_number(put_text((char *)bytes, word), n) = '\n';
}

// Of "<word><n>\n"; -1: something else is there.
static int number_in(const u8 *bytes, const char *word, u32 *n) {
  for (; *word; word++, bytes++)
    if (*bytes != (u8)*word) return -1;
  *n = 0;
  int digits = 0;
  for (; *bytes >= '0' && *bytes <= '9' && digits < MOST_DIGITS; bytes++, digits++) *n = *n * 10 + (*bytes - '0');
  return digits > 0 && (*bytes == '\n' || *bytes == 0) ? 0 : -1;
}

// While it starts: nothing else is to be done.
static void wait_for(int slot) {
  while (transfers[slot].busy) {
    may_sleep();
    while (take_used(&queue, 0) >= 0) transfers[slot].busy = 0;
    if (transfers[slot].busy) sleep();
  }
  if (transfers[slot].status != 0) fail("its disk");
}

static int has_record(u32 index, u32 *n) {
  begin(RECORD_SLOT, READ, FIRST_RECORD + index);
  wait_for(RECORD_SLOT);
  return number_in(transfers[RECORD_SLOT].bytes, "R ", n) == 0;
}

void start_records(void) {
  u16 ports = find_device(0x1af4, 0x1001);
  start_device(ports);
  sectors = in32(ports + 20);
  if (sectors <= FIRST_RECORD) fail("its disk is too small");
  open_queue(&queue, ports, 0, disk_ring);
  device_ready(ports);
  begin(RECORD_SLOT, READ, STARTS);
  wait_for(RECORD_SLOT);
  if (number_in(transfers[RECORD_SLOT].bytes, "TINY ", &starts) != 0) starts = 0;
  starts++;
  put_line(RECORD_SLOT, "TINY ", starts);
  begin(RECORD_SLOT, WRITE, STARTS);
  wait_for(RECORD_SLOT);
  begin(RECORD_SLOT, READ, BEAT);
  wait_for(RECORD_SLOT);
  if (number_in(transfers[RECORD_SLOT].bytes, "BEAT ", &beats) != 0) beats = 0;
  // Records follow each other without a hole: the end is searched by halves.
  u32 low = 0, high = sectors - FIRST_RECORD, n;
  while (low < high) {
    u32 middle = low + (high - low) / 2;
    if (has_record(middle, &n)) low = middle + 1;
    else high = middle;
  }
  records = low;
  if (records > 0) has_record(records - 1, &last_record);
}

static void write_done(int slot) {
  struct transfer *t = &transfers[slot];
  t->busy = 0;
  if (slot != RECORD_SLOT) return;
  if (t->status == 0) {
    records++;
    number_in(t->bytes, "R ", &last_record);
    *put_number(put_text(text, "ok "), last_record) = 0;
    answer_datagram(&waiting, text);
  } else answer_datagram(&waiting, "error the disk refuses");
}

void serve_records(void) {
  for (int slot; (slot = take_used(&queue, 0)) >= 0;) write_done(slot);
  u32 ms = now_ms();
  if (beat_ms == 0 || ms - last_beat_ms < beat_ms || transfers[BEAT_SLOT].busy) return;
  last_beat_ms = ms;
  put_line(BEAT_SLOT, "BEAT ", ++beats);
  begin(BEAT_SLOT, WRITE, BEAT);
}

int records_idle(void) { return !transfers[BEAT_SLOT].busy && !transfers[RECORD_SLOT].busy; }

// A datagram may be lost or come twice: the same number again is answered, and not written again.
void on_command(struct request *r, char *line) {
  u32 n;
  if (memcmp(line, "status", 7) == 0) {
    char *at = put_number(put_text(text, "starts "), starts);
    at = put_number(put_text(at, " records "), records);
    at = put_number(put_text(at, " last "), last_record);
    *put_number(put_text(at, " up "), now_ms()) = 0;
    answer_datagram(r, text);
  } else if (number_in((u8 *)line, "append ", &n) == 0) {
    // The client asks again.
    if (transfers[RECORD_SLOT].busy) return;
    if (records > 0 && n == last_record) {
      *put_number(put_text(text, "ok "), n) = 0;
      answer_datagram(r, text);
    } else if (FIRST_RECORD + records >= sectors) answer_datagram(r, "error the disk is full");
    else {
      memcpy(&waiting, r, sizeof waiting);
      put_line(RECORD_SLOT, "R ", n);
      begin(RECORD_SLOT, WRITE, FIRST_RECORD + records);
    }
  } else answer_datagram(r, "error give: append <number up to 9 digits>, or status");
}
