// The tiny guest: starts in milliseconds also where emulation runs in emulation, needs 16 MiB, sleeps when nothing comes. README.md has its
// protocols. Its command line: address=10.77.0.10 beat=1000 (milliseconds between two writes of its own; 0: none).
#include "tiny.h"

u32 beat_ms = 1000;

char *put_text(char *at, const char *text) {
  while (*text) *at++ = *text++;
  return at;
}

char *put_number(char *at, u32 n) {
  char digits[10];
  int count = 0;
  do digits[count++] = (char)('0' + n % 10), n /= 10;
  while (n > 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

static const char *after(const char *line, const char *word) {
  for (; *line; line++) {
    const char *a = line, *b = word;
    while (*b && *a == *b) a++, b++;
    if (!*b) return a;
  }
  return 0;
}

static u32 number_at(const char **at) {
  u32 n = 0;
  for (; **at >= '0' && **at <= '9'; (*at)++) n = n * 10 + (u32)(**at - '0');
  return n;
}

static u32 own_address(const char *line) {
  const char *at = after(line, "address=");
  if (!at) fail("its command line has no address=");
  u32 address = 0;
  for (int i = 0; i < 4; i++) {
    address = address << 8 | (number_at(&at) & 0xff);
    if (i < 3 && *at++ != '.') fail("address= is no IPv4 address");
  }
  return address;
}

// Multiboot's information: the command line at 16 when bit 2 of the flags is set.
void guest_main(const u32 *boot) {
  const char *line = boot[0] & 4 ? (const char *)boot[4] : "";
  start_machine();
  start_records();
  start_network(own_address(line));
  const char *beat = after(line, "beat=");
  if (beat) beat_ms = number_at(&beat);
  say("GUEST READY");
  int stopping = 0;
  for (;;) {
    may_sleep();
    serve_network();
    serve_records();
    if (!stopping && power_button_pressed()) {
      stopping = 1;
      beat_ms = 0;
      say("GUEST STOPPING");
    }
    if (stopping && records_idle()) {
      say("GUEST OFF");
      switch_off();
    }
    sleep();
  }
}
