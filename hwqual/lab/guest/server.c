// The lab's guest server: what the protected workload offers to clients (README.md holds the protocols).
// One thread per connection: an fsync that waits for the mirror must never delay somebody else's echo.
// No idle time-outs: connections are meant to stay open for hours, across power failures of the server below.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_CONNECTIONS = 512,       // threads: about 150 KiB each when busy, in a guest of 256 MiB
  STACK_BYTES = 256 * 1024,
  CHUNK_BYTES = 16 * 1024,     // one write of a download; small enough for a smooth rate
  HEAD_BYTES = 8 * 1024,       // an HTTP request's line and headers
  LINE_BYTES = 64,             // a line of the record protocol
  RECORD_BYTES = 32,           // "R <20 digits> <8 hex>\n": divides every sector size
  LIST_BYTES = 64 * 1024,      // read at once from the disk for `list`
  MAX_INPUTS = 16,
};
#define MAX_FILE_BYTES (1ull << 34) // content repeats there: 32-bit word index
#define MAX_RATE (1ull << 30)

static void die(const char *what) {
  printf("GUEST FAILED %s: %s\n", what, strerror(errno));
  exit(1);
}

// ---- bytes in and out -------------------------------------------------------------------------------------------------

// A buffered reader over one socket. `at`..`end` are unread bytes of `bytes`.
struct reader {
  int fd;
  size_t at, end;
  unsigned char bytes[CHUNK_BYTES];
};

// Fills an empty reader. False: end of stream or error.
static int fill(struct reader *r) {
  for (;;) {
    ssize_t n = recv(r->fd, r->bytes, sizeof r->bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    r->at = 0;
    r->end = (size_t)n;
    return 1;
  }
}

static int send_all(int fd, const void *from, size_t length) {
  const char *p = from;
  while (length > 0) {
    ssize_t n = send(fd, p, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    p += n;
    length -= (size_t)n;
  }
  return 1;
}

__attribute__((format(printf, 2, 3))) static int send_text(int fd, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return n >= 0 && (size_t)n < sizeof text && send_all(fd, text, (size_t)n);
}

// Reads a line without its end (\n or \r\n) into `line`. 1: a line; 0: end of stream; -1: longer than `size` (skipped to its end).
static int read_line(struct reader *r, char *line, size_t size) {
  size_t length = 0;
  int too_long = 0;
  for (;;) {
    if (r->at == r->end && !fill(r)) return 0;
    char c = (char)r->bytes[r->at++];
    if (c == '\n') break;
    if (length + 1 < size) line[length++] = c;
    else too_long = 1;
  }
  if (too_long) return -1;
  if (length > 0 && line[length - 1] == '\r') length--;
  line[length] = 0;
  return 1;
}

// Decimal digits only, at most `max`. Answers the first character after them, or NULL.
static const char *parse_number(const char *text, uint64_t max, uint64_t *value) {
  if (!isdigit((unsigned char)*text)) return NULL;
  uint64_t v = 0;
  for (; isdigit((unsigned char)*text); text++) {
    unsigned digit = (unsigned)(*text - '0');
    if (v > (max - digit) / 10) return NULL;
    v = v * 10 + digit;
  }
  *value = v;
  return text;
}

// ---- SHA-256 (FIPS 180-4) ---------------------------------------------------------------------------------------------

struct sha256 {
  uint32_t h[8];
  uint64_t length;
  unsigned char block[64];
};

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(struct sha256 *s, const unsigned char *p) {
  uint32_t w[64], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4], f = s->h[5], g = s->h[6], h = s->h[7];
  for (int i = 0; i < 16; i++) w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3, s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
    uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  s->h[0] += a, s->h[1] += b, s->h[2] += c, s->h[3] += d, s->h[4] += e, s->h[5] += f, s->h[6] += g, s->h[7] += h;
}

static void sha256_start(struct sha256 *s) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, start, sizeof start);
  s->length = 0;
}

static void sha256_add(struct sha256 *s, const unsigned char *p, size_t n) {
  size_t used = s->length % 64;
  s->length += n;
  if (used > 0) {
    size_t take = n < 64 - used ? n : 64 - used;
    memcpy(s->block + used, p, take);
    p += take, n -= take;
    if (used + take < 64) return;
    sha256_block(s, s->block);
  }
  for (; n >= 64; p += 64, n -= 64) sha256_block(s, p);
  memcpy(s->block, p, n);
}

static void sha256_hex(struct sha256 *s, char hex[65]) {
  uint64_t bits = s->length * 8;
  static const unsigned char padding[64] = {0x80};
  size_t used = s->length % 64;
  sha256_add(s, padding, used < 56 ? 56 - used : 120 - used);
  unsigned char length[8];
  for (int i = 0; i < 8; i++) length[i] = (unsigned char)(bits >> (56 - 8 * i));
  sha256_add(s, length, 8);
  for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", s->h[i]);
}

// ---- deterministic content --------------------------------------------------------------------------------------------

// Content is a sequence of little-endian 32-bit words: word k is this mix of k (murmur3's finaliser). Every position up to
// 16 GiB differs from its neighbours, so a shifted, repeated or swapped piece is noticed.
static uint32_t content_word(uint32_t k) {
  k ^= 0x9e3779b9;
  k ^= k >> 16, k *= 0x85ebca6b;
  k ^= k >> 13, k *= 0xc2b2ae35;
  return k ^ k >> 16;
}

// ---- HTTP -------------------------------------------------------------------------------------------------------------

struct request {
  char method[8];
  char path[256];
  int keep_alive, chunked, expects_continue;
  int has_length;
  uint64_t length;
};

// 1: a request; 0: end of stream; -1: not understood.
static int read_request(struct reader *r, struct request *q) {
  char line[1024], version[16];
  size_t head = 0;
  memset(q, 0, sizeof *q);
  int got = read_line(r, line, sizeof line);
  if (got <= 0) return got;
  if (sscanf(line, "%7s %255s %15s", q->method, q->path, version) != 3 || strncmp(version, "HTTP/1.", 7) != 0) return -1;
  q->keep_alive = strcmp(version, "HTTP/1.0") != 0;
  for (;;) {
    got = read_line(r, line, sizeof line);
    if (got <= 0) return got < 0 ? -1 : 0;
    if (line[0] == 0) return 1;
    if ((head += strlen(line)) > HEAD_BYTES) return -1;
    char *value = strchr(line, ':');
    if (!value) return -1;
    *value++ = 0;
    while (*value == ' ' || *value == '\t') value++;
    if (!strcasecmp(line, "content-length")) {
      const char *rest = parse_number(value, MAX_FILE_BYTES, &q->length);
      if (!rest || *rest) return -1;
      q->has_length = 1;
    } else if (!strcasecmp(line, "transfer-encoding")) {
      if (strcasecmp(value, "chunked")) return -1;
      q->chunked = 1;
    } else if (!strcasecmp(line, "connection")) {
      if (strcasestr(value, "close")) q->keep_alive = 0;
    } else if (!strcasecmp(line, "expect")) {
      if (!strcasecmp(value, "100-continue")) q->expects_continue = 1;
    }
  }
}

// An answer that ends the connection: what follows on it cannot be trusted to be a request.
static int refuse(int fd, const char *status, const char *why) {
  send_text(fd, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s\n", status, strlen(why) + 1, why);
  return 0;
}

// The number after `name=` in the query of a path; 0 when there is none.
static uint64_t query_number(const char *path, const char *name) {
  const char *query = strchr(path, '?');
  size_t length = strlen(name);
  while (query) {
    query++;
    uint64_t value;
    if (!strncmp(query, name, length) && query[length] == '=' && parse_number(query + length + 1, MAX_RATE, &value)) return value;
    query = strchr(query, '&');
  }
  return 0;
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int send_file(int fd, const struct request *q, int with_body) {
  uint64_t bytes, sent = 0, rate = query_number(q->path, "rate");
  const char *rest = parse_number(q->path + strlen("/file/"), MAX_FILE_BYTES, &bytes);
  if (!rest || (*rest && *rest != '?')) return refuse(fd, "400 Bad Request", "GET /file/<bytes>, at most 17179869184");
  if (!send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %llu\r\nConnection: %s\r\n\r\n",
                 (unsigned long long)bytes, q->keep_alive ? "keep-alive" : "close"))
    return 0;
  if (!with_body) return 1;
  uint32_t words[CHUNK_BYTES / 4];
  // The server paces, not the reader: a slow reader would hide a stall behind its own receive buffer.
  size_t chunk = rate && rate / 50 < CHUNK_BYTES ? (rate / 50 < 4 ? 4 : rate / 50 & ~3ull) : CHUNK_BYTES;
  int64_t due = now_ns();
  while (sent < bytes) {
    size_t n = bytes - sent < chunk ? (size_t)(bytes - sent) : chunk;
    for (size_t i = 0; i < (n + 3) / 4; i++) words[i] = content_word((uint32_t)(sent / 4 + i));
    if (!send_all(fd, words, n)) return 0;
    sent += n;
    if (!rate) continue;
    due += (int64_t)(n * 1000000000ull / rate);
    int64_t now = now_ns();
    if (due < now - 200000000) due = now; // after a stall the rate goes on as before, without a burst
    struct timespec until = {due / 1000000000, due % 1000000000};
    while (due > now && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
  }
  return 1;
}

struct sink {
  struct sha256 sha;
  uint64_t progress_every, progress_next;
};

// Takes `length` body bytes. While at it says how far it came, if asked to: the sender's own buffers say nothing about that.
static int sink_take(struct reader *r, struct sink *s, uint64_t length) {
  while (length > 0) {
    if (r->at == r->end && !fill(r)) return 0;
    size_t n = r->end - r->at;
    if (n > length) n = (size_t)length;
    sha256_add(&s->sha, r->bytes + r->at, n);
    r->at += n;
    length -= n;
    if (s->progress_every && s->sha.length >= s->progress_next) {
      s->progress_next = s->sha.length + s->progress_every;
      if (!send_text(r->fd, "HTTP/1.1 102 Processing\r\nX-Received: %llu\r\n\r\n", (unsigned long long)s->sha.length)) return 0;
    }
  }
  return 1;
}

// 1: whole body taken; 0: connection ended; -1: bad chunk.
static int sink_chunked(struct reader *r, struct sink *s) {
  char line[256];
  for (;;) {
    int got = read_line(r, line, sizeof line);
    if (got <= 0) return got;
    char *rest;
    errno = 0;
    unsigned long long length = strtoull(line, &rest, 16);
    if (!isxdigit((unsigned char)line[0]) || errno || (*rest && *rest != ';' && *rest != ' ') || length > MAX_FILE_BYTES) return -1;
    if (length == 0) break;
    if (!sink_take(r, s, length)) return 0;
    got = read_line(r, line, sizeof line);
    if (got <= 0) return got;
    if (line[0]) return -1;
  }
  for (;;) { // trailers, up to the empty line
    int got = read_line(r, line, sizeof line);
    if (got <= 0) return got;
    if (!line[0]) return 1;
  }
}

static int take_sink(struct reader *r, const struct request *q) {
  struct sink s = {.progress_every = query_number(q->path, "progress")};
  s.progress_next = s.progress_every;
  sha256_start(&s.sha);
  if (!q->has_length && !q->chunked) return refuse(r->fd, "411 Length Required", "send Content-Length or Transfer-Encoding: chunked");
  if (q->expects_continue && !send_text(r->fd, "HTTP/1.1 100 Continue\r\n\r\n")) return 0;
  int took = q->chunked ? sink_chunked(r, &s) : sink_take(r, &s, q->length);
  if (took < 0) return refuse(r->fd, "400 Bad Request", "chunked body not understood");
  if (!took) return 0;
  char hex[65];
  sha256_hex(&s.sha, hex);
  return send_text(r->fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\nConnection: %s\r\n\r\n%s",
                   q->keep_alive ? "keep-alive" : "close", hex);
}

static int path_is(const char *path, const char *wanted) {
  size_t n = strlen(wanted);
  return !strncmp(path, wanted, n) && (path[n] == 0 || path[n] == '?');
}

/** Only a server that was told so may end the system that it runs on: the guest's own, never a machine where it is tried out. */
static int may_end;

static int take_panic(struct reader *r) {
  if (!may_end) return refuse(r->fd, "403 Forbidden", "only in the guest");
  int trigger = open("/proc/sysrq-trigger", O_WRONLY);
  if (trigger < 0 || write(trigger, "c", 1) != 1) return refuse(r->fd, "500 Internal Server Error", "the system cannot be crashed");
  return 0;
}

static void stop_serving(const char *why);

static int take_poweroff(struct reader *r) {
  if (!may_end) return refuse(r->fd, "403 Forbidden", "only in the guest");
  stop_serving("asked to");
  return 0;
}

static void serve_http(struct reader *r) {
  struct request q;
  for (;;) {
    int got = read_request(r, &q);
    if (got < 0) refuse(r->fd, "400 Bad Request", "request not understood");
    if (got <= 0) return;
    int is_get = !strcmp(q.method, "GET"), is_head = !strcmp(q.method, "HEAD"), is_put = !strcmp(q.method, "PUT");
    int ok;
    if ((is_get || is_head) && (q.chunked || q.length > 0)) ok = refuse(r->fd, "400 Bad Request", "GET takes no body");
    else if ((is_get || is_head) && !strncmp(q.path, "/file/", 6)) ok = send_file(r->fd, &q, is_get);
    else if (is_put && path_is(q.path, "/sink")) ok = take_sink(r, &q);
    else if (is_put && path_is(q.path, "/panic")) ok = take_panic(r);
    else if (is_put && path_is(q.path, "/poweroff")) ok = take_poweroff(r);
    else if (!strncmp(q.path, "/file/", 6) || path_is(q.path, "/sink")) ok = refuse(r->fd, "405 Method Not Allowed", "GET /file/<bytes>, PUT /sink");
    else ok = refuse(r->fd, "404 Not Found", "GET /file/<bytes>, PUT /sink");
    if (!ok || !q.keep_alive) return;
  }
}

// ---- echo -------------------------------------------------------------------------------------------------------------

static void serve_echo(struct reader *r) {
  while (fill(r))
    if (!send_all(r->fd, r->bytes, r->end)) return;
}

static void *serve_udp_echo(void *argument) {
  int fd = (int)(intptr_t)argument;
  static unsigned char datagram[65536];
  for (;;) {
    struct sockaddr_in6 from;
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &length);
    if (n >= 0) (void)sendto(fd, datagram, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&from, length);
  }
  return NULL;
}

// ---- records ----------------------------------------------------------------------------------------------------------

static const char *records_path;
static int records_fd;
static uint64_t records_bytes; // whole, synced records
static int records_failed;     // after a failed fsync nothing that the page cache says about the file can be trusted
static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t crc32(const char *p, size_t n) {
  uint32_t crc = ~0u;
  while (n--) {
    crc ^= (unsigned char)*p++;
    for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

static void records_open(void) {
  struct stat status;
  records_fd = open(records_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (records_fd < 0 || fstat(records_fd, &status)) die(records_path);
  // An append that was never acknowledged may have left a piece of a record: it is no record.
  records_bytes = (uint64_t)status.st_size / RECORD_BYTES * RECORD_BYTES;
  if (ftruncate(records_fd, (off_t)records_bytes) || fsync(records_fd)) die(records_path);
  int directory = open("/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    if (fsync(directory)) die("/data");
    close(directory);
  }
}

// NULL: on the disk. Otherwise the reason why not.
static const char *records_append(uint64_t number) {
  char record[RECORD_BYTES + 1];
  const char *reason = NULL;
  snprintf(record, sizeof record, "R %020llu", (unsigned long long)number);
  snprintf(record + 22, sizeof record - 22, " %08x\n", crc32(record, 22));
  pthread_mutex_lock(&records_lock);
  if (records_failed) reason = "the disk failed earlier";
  else if (pwrite(records_fd, record, RECORD_BYTES, (off_t)records_bytes) != RECORD_BYTES) {
    reason = strerror(errno);
    if (ftruncate(records_fd, (off_t)records_bytes)) records_failed = 1;
  } else if (fsync(records_fd)) {
    reason = strerror(errno);
    records_failed = 1;
  } else records_bytes += RECORD_BYTES;
  pthread_mutex_unlock(&records_lock);
  return reason;
}

// Reads past the page cache (O_DIRECT): the answer is what the disk has, not what the guest remembers.
static int records_list(int fd) {
  pthread_mutex_lock(&records_lock);
  uint64_t bytes = records_bytes;
  pthread_mutex_unlock(&records_lock);
  void *block = NULL;
  char *text = malloc(LIST_BYTES);
  int file = open(records_path, O_RDONLY | O_DIRECT | O_CLOEXEC), ok = 0;
  if (!text || file < 0 || posix_memalign(&block, 4096, LIST_BYTES)) {
    ok = send_text(fd, "error %s\n", strerror(errno));
    goto out;
  }
  if (!send_text(fd, "records %llu\n", (unsigned long long)(bytes / RECORD_BYTES))) goto out;
  for (uint64_t at = 0; at < bytes;) {
    ssize_t n = pread(file, block, LIST_BYTES, (off_t)at);
    uint64_t whole = n > 0 ? (uint64_t)n / RECORD_BYTES * RECORD_BYTES : 0;
    if (whole == 0) {
      ok = send_text(fd, "error record %llu cannot be read: %s\n", (unsigned long long)(at / RECORD_BYTES), n < 0 ? strerror(errno) : "file too short");
      goto out;
    }
    if (whole > bytes - at) whole = bytes - at;
    size_t length = 0;
    for (uint64_t i = 0; i < whole; i += RECORD_BYTES) {
      const char *record = (const char *)block + i;
      char check[10];
      snprintf(check, sizeof check, " %08x", crc32(record, 22));
      uint64_t number;
      if (memcmp(record, "R ", 2) || memcmp(record + 22, check, 9) || record[31] != '\n' || !parse_number(record + 2, UINT64_MAX, &number)) {
        ok = send_all(fd, text, length) && send_text(fd, "error record %llu is damaged\n", (unsigned long long)((at + i) / RECORD_BYTES));
        goto out;
      }
      length += (size_t)sprintf(text + length, "%llu\n", (unsigned long long)number); // at most 19 of every 32 bytes
    }
    if (!send_all(fd, text, length)) goto out;
    at += whole;
  }
  ok = send_text(fd, "end\n");
out:
  if (file >= 0) close(file);
  free(block);
  free(text);
  return ok;
}

static void serve_records(struct reader *r) {
  char line[LINE_BYTES];
  for (;;) {
    int got = read_line(r, line, sizeof line);
    if (got == 0) return;
    int ok;
    uint64_t number;
    if (got < 0) ok = send_text(r->fd, "error line longer than %d bytes\n", LINE_BYTES - 1);
    else if (!strcmp(line, "list")) ok = records_list(r->fd);
    else if (!strncmp(line, "append ", 7)) {
      const char *rest = parse_number(line + 7, 999999999999999999ull, &number);
      if (!rest || *rest) ok = send_text(r->fd, "error append takes one number of 1 to 18 digits\n");
      else {
        const char *reason = records_append(number);
        ok = reason ? send_text(r->fd, "error %s\n", reason) : send_text(r->fd, "ok %llu\n", (unsigned long long)number);
      }
    } else ok = send_text(r->fd, "error unknown request: append <n> or list\n");
    if (!ok) return;
  }
}

// ---- connections ------------------------------------------------------------------------------------------------------

struct service {
  int port;
  void (*serve)(struct reader *);
  int fd;
};

struct connection {
  void (*serve)(struct reader *);
  struct reader reader;
};

static int connections;

static void *serve_connection(void *argument) {
  struct connection *c = argument;
  c->serve(&c->reader);
  // Say that we are done, then take what the client still sends: closing with unread bytes would reset our last answer away.
  if (!shutdown(c->reader.fd, SHUT_WR)) {
    struct timeval patience = {2, 0};
    setsockopt(c->reader.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int64_t end = now_ns() + 2000000000ll; now_ns() < end && fill(&c->reader);) continue;
  }
  close(c->reader.fd);
  free(c);
  __atomic_sub_fetch(&connections, 1, __ATOMIC_RELAXED);
  return NULL;
}

static void set(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

static int open_socket(int type, int port) {
  int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("bind");
  if (type == SOCK_STREAM && listen(fd, 256)) die("listen");
  return fd;
}

// A thread of its own for a connection, whoever opened it. False: too many; the connection is closed then.
static int start_connection(int fd, void (*serve)(struct reader *)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1); // a client that lost its power must not hold a thread for ever
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 600);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 60);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 10);
  struct connection *c = malloc(sizeof *c);
  pthread_t thread;
  int counted = c && __atomic_add_fetch(&connections, 1, __ATOMIC_RELAXED);
  if (counted && __atomic_load_n(&connections, __ATOMIC_RELAXED) <= MAX_CONNECTIONS) {
    c->serve = serve;
    c->reader.fd = fd;
    c->reader.at = c->reader.end = 0;
    if (!pthread_create(&thread, &attributes, serve_connection, c)) return 1;
  }
  if (counted) __atomic_sub_fetch(&connections, 1, __ATOMIC_RELAXED);
  free(c);
  close(fd);
  return 0;
}

// ---- calls: the guest opens connections, and serves on them -----------------------------------------------------------

// A connected socket, or -1 with errno.
static int call(const char *address, uint16_t port) {
  struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int is4 = inet_pton(AF_INET, address, &to4.sin_addr) == 1;
  if (!is4 && inet_pton(AF_INET6, address, &to6.sin6_addr) != 1) return errno = EINVAL, -1;
  int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (!connect(fd, is4 ? (void *)&to4 : (void *)&to6, is4 ? sizeof to4 : sizeof to6)) return fd;
  int reason = errno;
  close(fd);
  return errno = reason, -1;
}

static void serve_calls(struct reader *r) {
  char line[128], address[64], name[16], rest;
  for (;;) {
    int got = read_line(r, line, sizeof line);
    if (got == 0) return;
    unsigned port;
    void (*serve)(struct reader *) = NULL;
    if (got > 0 && sscanf(line, "call %63s %u %15s%c", address, &port, name, &rest) == 3 && port > 0 && port < 65536)
      serve = !strcmp(name, "http") ? serve_http : !strcmp(name, "echo") ? serve_echo : !strcmp(name, "records") ? serve_records : NULL;
    int ok, fd;
    if (!serve) ok = send_text(r->fd, "error call <address> <port> http|echo|records\n");
    else if ((fd = call(address, (uint16_t)port)) < 0) ok = send_text(r->fd, "error %s\n", strerror(errno));
    else ok = send_text(r->fd, start_connection(fd, serve) ? "ok\n" : "error too many connections\n");
    if (!ok) return;
  }
}

static void *accept_connections(void *argument) {
  struct service *service = argument;
  for (;;) {
    int fd = accept4(service->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) usleep(10000); // others have to end first
      continue;
    }
    start_connection(fd, service->serve);
  }
  return NULL;
}

// ---- power button -----------------------------------------------------------------------------------------------------

static void wait_for_power_button(void) {
  struct pollfd inputs[MAX_INPUTS];
  nfds_t count = 0;
  for (int i = 0; i < MAX_INPUTS; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) inputs[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
  if (count == 0) printf("GUEST WARNING no input device: the power button will not be noticed\n");
  for (;;) {
    if (poll(inputs, count, -1) < 0) continue;
    for (nfds_t i = 0; i < count; i++) {
      struct input_event event;
      if (!(inputs[i].revents & POLLIN) || read(inputs[i].fd, &event, sizeof event) != sizeof event) continue;
      if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) return;
    }
  }
}

/** What follows is init's: sync, unmount, power off. */
static void stop_serving(const char *why) {
  printf("GUEST STOPPING %s\n", why);
  pthread_mutex_lock(&records_lock); // no append is half done
  _exit(0);
}

int main(int count, char **arguments) {
  static struct service services[] = {{80, serve_http, -1}, {7, serve_echo, -1}, {9009, serve_records, -1}, {9010, serve_calls, -1}};
  pthread_t thread;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  records_path = count > 1 ? arguments[1] : "/data/records";
  may_end = count > 2 && !strcmp(arguments[2], "may-end");
  records_open();
  for (size_t i = 0; i < sizeof services / sizeof *services; i++) services[i].fd = open_socket(SOCK_STREAM, services[i].port);
  int udp = open_socket(SOCK_DGRAM, 7);
  for (size_t i = 0; i < sizeof services / sizeof *services; i++)
    if (pthread_create(&thread, NULL, accept_connections, &services[i])) die("thread");
  if (pthread_create(&thread, NULL, serve_udp_echo, (void *)(intptr_t)udp)) die("thread");
  printf("GUEST READY\n");
  wait_for_power_button();
  stop_serving("power button");
}
