// The lab guest's load (README.md): fio with verification, pass after pass, and what it has come to, over TCP on port 9011, IPv4
// and IPv6. Watches the kernel's messages and the disk's progress; freezes and thaws the file systems.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 9011
#define MAX_JOBS 8
#define MAX_PLACES 4
#define TEXT_BYTES 512
// Files of a job.
#define SLOTS 4
// Of the kernel's complaints: the first ones tell why.
#define MAX_COMPLAINTS 20
#define LINE_BYTES 64
// What a trim gives back: beside what fio has there is room for so much on each of its file systems.
#define FILLED "filled"
#define MAX_FILL_MIB 16
#define FILL_BYTES 65536
// The disk's counters are looked at so often: a stall is known so well.
#define LOOK_US 50000
#define DISK "/sys/block/vda/stat"

struct job {
  const char *name, *file, *directory, *sizes[2];
  pthread_t thread;
  unsigned starts, passes;
  pid_t pid; // of the fio that runs now; 0: none
  uint64_t writtenKiB, readKiB; // of passes that ended well
  char failure[TEXT_BYTES];     // empty: none
};

static struct job jobs[MAX_JOBS];
static int job_count;
static const char *places[MAX_PLACES];
static int place_count;
// What the file systems do. Resting: as after an unmount, with everything in its place, so that a file system check finds nothing to
// do; for that no file may be open. The first place is the server's, which never closes its file: it is frozen then, too.
enum { BUSY, FROZEN, RESTING };
static int quiet = BUSY;
static char complaints[MAX_COMPLAINTS][TEXT_BYTES];
static unsigned complaint_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t quiet_lock = PTHREAD_MUTEX_INITIALIZER;
static int jobs_held, jobs_running;

static void die(const char *what) {
  printf("GUEST FAILED load: %s: %s\n", what, strerror(errno));
  _exit(1);
}

// Printable, without what JSON would need escaped.
static void copy_plain(char *to, const char *from) {
  size_t n = 0;
  for (; *from && n + 1 < TEXT_BYTES; from++) to[n++] = *from == '"' || *from == '\\' ? '\'' : (unsigned char)*from < ' ' || (unsigned char)*from > '~' ? ' ' : *from;
  to[n] = 0;
}

// ---- fio --------------------------------------------------------------------------------------------------------------

// The value in field `wanted` (from 1) of a line of fio's terse output, version 3.
static uint64_t terse_field(const char *line, int wanted) {
  for (int field = 1; field < wanted; field++) {
    line = strchr(line, ';');
    if (!line) return 0;
    line++;
  }
  return strtoull(line, NULL, 10);
}

static pid_t start_fio(const struct job *job, unsigned start, int output) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  char seed[16], slot[16];
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_UNBLOCK, &all, NULL);
  snprintf(seed, sizeof seed, "%u", start);
  // Two passes on a file, with one block size and the other, then the next file: so that all of it is not always at the same place.
  snprintf(slot, sizeof slot, "%u", start / 2 % SLOTS);
  setenv("SEED", seed, 1);
  setenv("SLOT", slot, 1);
  setenv("BS", job->sizes[start % 2], 1);
  setenv("DIRECTORY", job->directory, 1);
  dup2(output, 1);
  dup2(output, 2);
  execl("/usr/bin/fio", "fio", "--minimal", "--aux-path=/tmp", job->file, (char *)NULL);
  _exit(127);
}

// One pass: everything written, then everything read back and checked. False: it failed.
static int run_pass(struct job *job) {
  int ends[2], status;
  if (pipe2(ends, O_CLOEXEC)) die("pipe");
  pthread_mutex_lock(&lock);
  while (jobs_held) pthread_cond_wait(&changed, &lock);
  // A pass that was cut short counts as a start: the next one has the other block size.
  pid_t pid = job->pid = start_fio(job, ++job->starts, ends[1]);
  jobs_running++;
  pthread_mutex_unlock(&lock);
  close(ends[1]);
  if (pid < 0) die("fork");
  char line[4096], said[TEXT_BYTES] = "";
  uint64_t written = 0, read = 0;
  FILE *output = fdopen(ends[0], "r");
  while (fgets(line, sizeof line, output)) {
    if (!strncmp(line, "3;", 2)) {
      read += terse_field(line, 6);
      written += terse_field(line, 47);
    } else if (!*said) copy_plain(said, line); // the first one tells why
  }
  fclose(output);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  pthread_mutex_lock(&lock);
  job->pid = 0;
  jobs_running--;
  int was_told = jobs_held, ok = WIFEXITED(status) && WEXITSTATUS(status) == 0 && written > 0 && read > 0;
  // What it found wrong before that counts.
  int is_wrong = strstr(said, "verify") != NULL;
  if (ok) {
    job->passes++;
    job->writtenKiB += written;
    job->readKiB += read;
  } else if (!was_told || is_wrong)
    snprintf(job->failure, sizeof job->failure, "pass %u, status %d: %.400s", job->starts, status, *said ? said : "it said nothing");
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  if (*job->failure) printf("GUEST LOAD FAILED %s: %s\n", job->name, job->failure);
  return !*job->failure;
}

// Held: every fio is killed, and none is started. Returns when none runs.
static void hold_jobs(int held) {
  pthread_mutex_lock(&lock);
  jobs_held = held;
  for (int i = 0; held && i < job_count; i++)
    if (jobs[i].pid > 0) kill(jobs[i].pid, SIGKILL);
  while (held && jobs_running > 0) pthread_cond_wait(&changed, &lock);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void *run_job(void *argument) {
  while (run_pass(argument)) continue;
  return NULL;
}

// ---- what the kernel says, and how long the disk makes wait ------------------------------------------------------------

static int is_complaint(int level, const char *text) {
  if (level <= 3) return 1;
  return level == 4 && (strstr(text, "I/O error") || strstr(text, "EXT4-fs") || strstr(text, "XFS") || strstr(text, "blocked for more"));
}

static void *watch_kernel(void *argument) {
  (void)argument;
  int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC);
  if (fd < 0) die("/dev/kmsg");
  lseek(fd, 0, SEEK_END);
  char record[8192];
  for (;;) {
    ssize_t n = read(fd, record, sizeof record - 1);
    if (n < 0 && errno != EPIPE && errno != EINTR) return NULL;
    if (n <= 0) continue; // EPIPE: overtaken; the next read goes on
    record[n] = 0;
    const char *text = strchr(record, ';');
    if (!text || !is_complaint(atoi(record) & 7, text)) continue;
    pthread_mutex_lock(&lock);
    if (complaint_count < MAX_COMPLAINTS) copy_plain(complaints[complaint_count], text + 1);
    complaint_count++;
    pthread_mutex_unlock(&lock);
  }
}

static int read_numbers(int fd, uint64_t *numbers, int count) {
  char text[512], *at = text;
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = 0;
  for (int i = 0; i < count; i++) numbers[i] = strtoull(at, &at, 10);
  return 1;
}

// Tells the serial port, which nobody holds back, how many writes and flushes have ended, whenever that has changed: the guest's own
// clock stands still while it is stopped.
static void *watch_disk(void *argument) {
  (void)argument;
  int stat = open(DISK, O_RDONLY | O_CLOEXEC);
  uint64_t before = 0;
  for (;;) {
    uint64_t f[17]; // Documentation/block/stat.rst
    if (!read_numbers(stat, f, 17)) die(DISK);
    uint64_t ended = f[4] + f[11] + f[15];
    if (ended != before) printf("GUEST DISK %llu\n", (unsigned long long)ended);
    before = ended;
    usleep(LOOK_US);
  }
  return NULL;
}

// ---- requests ---------------------------------------------------------------------------------------------------------

static int is_settled(int result, int already) { return result == 0 || errno == already; }

static int freeze(const char *place, int wanted) {
  int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int ok = fd >= 0 && is_settled(ioctl(fd, wanted ? FIFREEZE : FITHAW, 0), wanted ? EBUSY : EINVAL);
  int reason = errno;
  if (fd >= 0) close(fd);
  errno = reason;
  return ok;
}

static int set_read_only(const char *place, int wanted) { return !mount(NULL, place, NULL, MS_REMOUNT | MS_NOATIME | (wanted ? MS_RDONLY : 0), NULL); }

// Quiet file systems have everything on the disk and write nothing more. A request that failed half-way can be repeated. NULL, or why not.
static const char *set_quiet(int wanted) {
  pthread_mutex_lock(&quiet_lock);
  const char *reason = NULL;
  if (quiet != BUSY && wanted != BUSY && quiet != wanted) reason = "thaw first";
  if (!reason && wanted == RESTING) hold_jobs(1);
  for (int i = 0; i < place_count && !reason; i++) {
    int rests = i > 0 && (wanted == RESTING || quiet == RESTING);
    if (!(rests ? set_read_only(places[i], wanted != BUSY) : freeze(places[i], wanted != BUSY))) reason = strerror(errno);
  }
  if (!reason) {
    quiet = wanted;
    if (wanted == BUSY) hold_jobs(0);
  }
  pthread_mutex_unlock(&quiet_lock);
  return reason;
}

// A file of so many MiB that nobody can pack, on every file system of fio's, durable. NULL, or why not.
static const char *fill(long mib) {
  static unsigned char bytes[FILL_BYTES];
  static uint64_t word = 88172645463325252u;
  char path[TEXT_BYTES];
  pthread_mutex_lock(&quiet_lock);
  const char *reason = quiet == BUSY ? NULL : "thaw first";
  for (int i = 1; i < place_count && !reason; i++) {
    snprintf(path, sizeof path, "%s/" FILLED, places[i]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ok = fd >= 0;
    for (long left = mib * 1048576; left > 0 && ok; left -= FILL_BYTES) {
      for (size_t at = 0; at < FILL_BYTES; at += sizeof word) { // xorshift64
        word ^= word << 13, word ^= word >> 7, word ^= word << 17;
        memcpy(bytes + at, &word, sizeof word);
      }
      ok = write(fd, bytes, FILL_BYTES) == FILL_BYTES;
    }
    if (!ok || fsync(fd)) reason = strerror(errno);
    if (fd >= 0) close(fd);
  }
  pthread_mutex_unlock(&quiet_lock);
  return reason;
}

// What fill has made is removed, and all that is free on all file systems is given back to the disk: fstrim. NULL and how much, or why not.
static const char *trim(uint64_t *trimmed) {
  char path[TEXT_BYTES];
  *trimmed = 0;
  pthread_mutex_lock(&quiet_lock);
  const char *reason = quiet == BUSY ? NULL : "thaw first";
  for (int i = 0; i < place_count && !reason; i++) {
    struct fstrim_range range = {.len = UINT64_MAX};
    int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/" FILLED, places[i]);
    // What a file system has not let go durably it does not trim, and xfs lets go in the background of what is only unlinked.
    if (fd < 0 || (truncate(path, 0) && errno != ENOENT) || (unlink(path) && errno != ENOENT) || syncfs(fd) || ioctl(fd, FITRIM, &range)) reason = strerror(errno);
    else *trimmed += range.len;
    if (fd >= 0) close(fd);
  }
  pthread_mutex_unlock(&quiet_lock);
  return reason;
}

static void print_status(FILE *to) {
  pthread_mutex_lock(&lock);
  fprintf(to, "{\"jobs\":[");
  for (int i = 0; i < job_count; i++)
    fprintf(to, "%s{\"name\":\"%s\",\"passes\":%u,\"writtenKiB\":%llu,\"checkedKiB\":%llu,\"failure\":\"%s\"}", i ? "," : "", jobs[i].name, jobs[i].passes,
            (unsigned long long)jobs[i].writtenKiB, (unsigned long long)jobs[i].readKiB, jobs[i].failure);
  fprintf(to, "],\"complaintCount\":%u,\"complaints\":[", complaint_count);
  for (unsigned i = 0; i < complaint_count && i < MAX_COMPLAINTS; i++) fprintf(to, "%s\"%s\"", i ? "," : "", complaints[i]);
  fprintf(to, "]}\n");
  pthread_mutex_unlock(&lock);
}

static void *serve(void *argument) {
  int fd = (int)(intptr_t)argument;
  FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
  char line[LINE_BYTES];
  while (in && out && fgets(line, sizeof line, in)) {
    line[strcspn(line, "\r\n")] = 0;
    if (!strcmp(line, "status")) print_status(out);
    else if (!strcmp(line, "freeze") || !strcmp(line, "rest") || !strcmp(line, "thaw")) {
      const char *reason = set_quiet(line[0] == 'f' ? FROZEN : line[0] == 'r' ? RESTING : BUSY);
      fprintf(out, reason ? "error %s\n" : "ok\n", reason);
    } else if (!strncmp(line, "fill ", 5)) {
      long mib = strtol(line + 5, NULL, 10);
      const char *reason = mib < 1 || mib > MAX_FILL_MIB ? "give 1 to 16 MiB" : fill(mib);
      fprintf(out, reason ? "error %s\n" : "ok\n", reason);
    } else if (!strcmp(line, "trim")) {
      uint64_t trimmed;
      const char *reason = trim(&trimmed);
      if (reason) fprintf(out, "error %s\n", reason);
      else fprintf(out, "ok %llu\n", (unsigned long long)trimmed);
    } else fprintf(out, "error unknown request: status, freeze, rest, thaw, fill or trim\n");
    if (fflush(out)) break;
  }
  if (out) fclose(out);
  if (in) fclose(in);
  return NULL;
}

static void start(void *(*body)(void *), void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, body, argument)) die("thread");
  pthread_detach(thread);
}

static void *accept_connections(void *argument) {
  int listener = (int)(intptr_t)argument, on = 1;
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    start(serve, (void *)(intptr_t)fd);
  }
  return NULL;
}

static void listen_for_requests(void) {
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, off = 0;
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (fd < 0 || bind(fd, (void *)&address, sizeof address) || listen(fd, 16)) die("port 9011");
  start(accept_connections, (void *)(intptr_t)fd);
}

// load PLACE... -- NAME,JOB FILE,DIRECTORY,BLOCK SIZE,OTHER BLOCK SIZE...   Ends with SIGTERM: thawed, and no fio left.
int main(int count, char **arguments) {
  sigset_t term;
  int got, i = 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, NULL);
  for (; i < count && strcmp(arguments[i], "--"); i++)
    if (place_count < MAX_PLACES) places[place_count++] = arguments[i];
  for (i++; i < count && job_count < MAX_JOBS; i++) {
    struct job *job = &jobs[job_count++];
    job->name = strtok(arguments[i], ",");
    job->file = strtok(NULL, ",");
    job->directory = strtok(NULL, ",");
    job->sizes[0] = strtok(NULL, ",");
    job->sizes[1] = strtok(NULL, ",");
    if (!job->sizes[1]) die("a job is NAME,JOB FILE,DIRECTORY,BLOCK SIZE,OTHER BLOCK SIZE");
  }
  listen_for_requests();
  start(watch_kernel, NULL);
  start(watch_disk, NULL);
  for (i = 0; i < job_count; i++)
    if (pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i])) die("thread");
  sigwait(&term, &got);
  set_quiet(BUSY);
  hold_jobs(1);
  return 0;
}
