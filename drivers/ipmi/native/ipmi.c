// The kernel's IPMI device by its ioctls (linux/ipmi.h): commands go down, answers come up by message id. By Node-API (one binary for every
// Node release). No static data: any number of threads may load it.
//
// All that touches the device is done by a thread of its own, one per open device: neither the event loop nor a thread of the pool (which
// disks need) ever waits for a BMC. The thread sleeps in poll() on the device and on an eventfd, by which it is told of work and of the end.
//
// Life of a Device: open -> its thread runs -> stop by close, by the garbage collector, or by the end of the environment -> the thread ends,
// closes both descriptors and lets go. Nobody joins it: a driver that hangs in the kernel keeps its thread, and nothing else. The last of
// the two that hold a Device (JavaScript's handle, the thread) frees it.
#define _GNU_SOURCE
#define NAPI_VERSION 9
#include <errno.h>
#include <fcntl.h>
#include <linux/ipmi.h>
#include <node_api.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Commands that the thread has not handed to the kernel yet; the driver above sends one at a time.
#define WAITING_MAX 64

enum Kind { READY = 0, ANSWER = 1, SEND_FAILED = 2, LOST = 3 };

typedef struct Request {
  struct Request *next;
  int32_t id;
  uint8_t net_fn, lun, command;
  uint16_t length;
  uint8_t data[IPMI_MAX_MSG_LENGTH];
} Request;

typedef struct {
  atomic_int holders;
  atomic_bool stopping;
  int wake;
  char *path;
  napi_threadsafe_function tell;
  pthread_mutex_t mutex;
  Request *first, **last;  // under the mutex
  int waiting;             // under the mutex
} Device;

typedef struct {
  enum Kind kind;
  int error;
  int32_t id;
  uint8_t net_fn, command;
  uint16_t length;
  uint8_t data[IPMI_MAX_MSG_LENGTH];
} Event;

static void let_go(Device *d) {
  if (atomic_fetch_sub(&d->holders, 1) != 1) return;
  while (d->first) {
    Request *r = d->first;
    d->first = r->next;
    free(r);
  }
  pthread_mutex_destroy(&d->mutex);
  close(d->wake);
  free(d->path);
  free(d);
}

static void stop(Device *d) {
  atomic_store(&d->stopping, true);
  uint64_t one = 1;
  while (write(d->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
}

// False: the environment has ended, and `tell` must not be used again.
static bool say(Device *d, const Event *e) {
  Event *copy = malloc(sizeof *copy);
  if (!copy) return true;  // the command runs into its time-out
  *copy = *e;
  napi_status status = napi_call_threadsafe_function(d->tell, copy, napi_tsfn_nonblocking);
  if (status != napi_ok) free(copy);
  return status != napi_closing;
}

static bool say_error(Device *d, enum Kind kind, int32_t id, int error) {
  Event e = {.kind = kind, .id = id, .error = error};
  return say(d, &e);
}

static int send_request(int fd, const Request *r) {
  struct ipmi_system_interface_addr address = {.addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE, .channel = IPMI_BMC_CHANNEL, .lun = r->lun};
  struct ipmi_req request = {
    .addr = (unsigned char *)&address,
    .addr_len = sizeof address,
    .msgid = r->id,
    .msg = {.netfn = r->net_fn, .cmd = r->command, .data_len = r->length, .data = (unsigned char *)r->data},
  };
  int result;
  do {
    result = ioctl(fd, IPMICTL_SEND_COMMAND, &request);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

static Request *take(Device *d) {
  pthread_mutex_lock(&d->mutex);
  Request *r = d->first;
  if (r) {
    d->first = r->next;
    if (!d->first) d->last = &d->first;
    d->waiting--;
  }
  pthread_mutex_unlock(&d->mutex);
  return r;
}

// All answers that are there. 0 or the errno that the device ended with; false in `*listening`: nobody listens any more.
static int receive(Device *d, int fd, bool *listening) {
  for (;;) {
    Event e = {.kind = ANSWER};
    struct ipmi_addr address;
    struct ipmi_recv answer = {
      .addr = (unsigned char *)&address,
      .addr_len = sizeof address,
      .msg = {.data = e.data, .data_len = sizeof e.data},
    };
    int result = ioctl(fd, IPMICTL_RECEIVE_MSG_TRUNC, &answer);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && errno == EAGAIN) return 0;
    // Truncated: what did not fit is no answer that the driver above knows.
    if (result < 0 && errno != EMSGSIZE) return errno;
    if (answer.recv_type != IPMI_RESPONSE_RECV_TYPE) continue;  // events and commands go to every user of the device
    e.id = (int32_t)answer.msgid;
    e.net_fn = answer.msg.netfn;
    e.command = answer.msg.cmd;
    e.length = answer.msg.data_len <= sizeof e.data ? answer.msg.data_len : sizeof e.data;
    if (!(*listening = say(d, &e))) return 0;
  }
}

// Answers whether somebody still listens.
static bool serve(Device *d) {
  int fd = open(d->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return say_error(d, READY, 0, errno);
  // Any other file refuses this with ENOTTY.
  unsigned int own_address;
  bool listening;
  if (ioctl(fd, IPMICTL_GET_MY_ADDRESS_CMD, &own_address) < 0) {
    listening = say_error(d, READY, 0, errno);
    close(fd);
    return listening;
  }
  listening = say_error(d, READY, 0, 0);
  while (listening && !atomic_load(&d->stopping)) {
    struct pollfd ends[2] = {{.fd = fd, .events = POLLIN}, {.fd = d->wake, .events = POLLIN}};
    if (poll(ends, 2, -1) < 0 && errno != EINTR) break;
    if (ends[1].revents) {
      uint64_t times;
      if (read(d->wake, &times, sizeof times) < 0 && errno != EAGAIN && errno != EINTR) break;
    }
    for (Request *r; listening && !atomic_load(&d->stopping) && (r = take(d));) {
      int error = send_request(fd, r);
      if (error) listening = say_error(d, SEND_FAILED, r->id, error);
      free(r);
    }
    int error = 0;
    if (listening && ends[0].revents & POLLIN) error = receive(d, fd, &listening);
    if (!error && ends[0].revents & (POLLERR | POLLHUP | POLLNVAL)) error = ENODEV;
    if (error && listening) {
      listening = say_error(d, LOST, 0, error);
      break;
    }
  }
  close(fd);
  return listening;
}

static void *run(void *data) {
  Device *d = data;
  if (serve(d)) napi_release_threadsafe_function(d->tell, napi_tsfn_release);
  let_go(d);
  return NULL;
}

// On JavaScript's thread: callback(kind, id, error, netFn, command, data)
static void on_event(napi_env env, napi_value callback, void *context, void *data) {
  (void)context;
  Event *e = data;
  napi_value undefined, a[6];
  if (env && callback && napi_get_undefined(env, &undefined) == napi_ok && napi_create_int32(env, e->kind, &a[0]) == napi_ok &&
      napi_create_int32(env, e->id, &a[1]) == napi_ok && napi_create_int32(env, e->error, &a[2]) == napi_ok &&
      napi_create_int32(env, e->net_fn, &a[3]) == napi_ok && napi_create_int32(env, e->command, &a[4]) == napi_ok &&
      napi_create_buffer_copy(env, e->length, e->data, NULL, &a[5]) == napi_ok) {
    napi_call_function(env, undefined, callback, 6, a, NULL);
  }
  free(e);
}

// The environment ends, or the thread has let go.
static void on_end(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  stop(data);
  let_go(data);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  stop(data);
  let_go(data);
}

static napi_value throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

static napi_value throw_memory(napi_env env) {
  napi_throw_error(env, "ENOMEM", "no memory or thread for an IPMI device");
  return NULL;
}

static Device *make_device(const char *path) {
  Device *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->path = strdup(path);
  d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!d->path || d->wake < 0) {
    if (d->wake >= 0) close(d->wake);
    free(d->path);
    free(d);
    return NULL;
  }
  pthread_mutex_init(&d->mutex, NULL);
  d->last = &d->first;
  atomic_init(&d->stopping, false);
  atomic_init(&d->holders, 1);
  return d;
}

static bool start_thread(Device *d) {
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  atomic_fetch_add(&d->holders, 1);
  bool started = pthread_create(&thread, NULL, run, d) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started) pthread_detach(thread);
  else let_go(d);
  return started;
}

// open(path, callback) -> handle. READY comes first, with 0 or the errno of why it cannot be used.
static napi_value Open(napi_env env, napi_callback_info info) {
  size_t count = 2, length;
  napi_value a[2], handle, name;
  napi_valuetype type;
  char path[4096];
  if (napi_get_cb_info(env, info, &count, a, NULL, NULL) != napi_ok) return NULL;
  if (count != 2 || napi_get_value_string_utf8(env, a[0], path, sizeof path, &length) != napi_ok || length + 1 >= sizeof path ||
      napi_typeof(env, a[1], &type) != napi_ok || type != napi_function) {
    return throw_type(env, "open(path, callback)");
  }
  Device *d = make_device(path);
  if (!d) return throw_memory(env);
  if (napi_create_external(env, d, on_collected, NULL, &handle) != napi_ok) {
    let_go(d);
    return throw_memory(env);
  }
  atomic_fetch_add(&d->holders, 1);  // on_end's
  if (napi_create_string_utf8(env, "twinstep:ipmi", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, a[1], NULL, name, 0, 1, d, on_end, NULL, on_event, &d->tell) != napi_ok) {
    let_go(d);
    return throw_memory(env);
  }
  // Whoever waits for an answer has a timer: an idle device keeps no process alive.
  napi_unref_threadsafe_function(env, d->tell);
  if (!start_thread(d)) {
    napi_release_threadsafe_function(d->tell, napi_tsfn_abort);
    return throw_memory(env);
  }
  return handle;
}

static Device *get_device(napi_env env, napi_value value) {
  void *data = NULL;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return NULL;
  return napi_get_value_external(env, value, &data) == napi_ok ? data : NULL;
}

// send(handle, id, netFn, lun, command, data) -> 0 or errno. What becomes of it: ANSWER or SEND_FAILED with this id, or nothing.
static napi_value Send(napi_env env, napi_callback_info info) {
  size_t count = 6, length = 0;
  napi_value a[6], result;
  uint32_t n[4];
  void *bytes = NULL;
  bool is_buffer = false;
  if (napi_get_cb_info(env, info, &count, a, NULL, NULL) != napi_ok) return NULL;
  Device *d = count == 6 ? get_device(env, a[0]) : NULL;
  bool good = d && napi_is_buffer(env, a[5], &is_buffer) == napi_ok && is_buffer && napi_get_buffer_info(env, a[5], &bytes, &length) == napi_ok;
  for (int i = 0; good && i < 4; i++) good = napi_get_value_uint32(env, a[i + 1], &n[i]) == napi_ok;
  // The kernel needs room for the head of its own.
  if (!good || n[0] > INT32_MAX || n[1] > 0x3f || n[2] > 3 || n[3] > 0xff || length > IPMI_MAX_MSG_LENGTH - 2)
    return throw_type(env, "send(handle, id, netFn, lun, command, data)");
  int error = 0;
  Request *r = calloc(1, sizeof *r);
  if (!r) return throw_memory(env);
  r->id = (int32_t)n[0];
  r->net_fn = (uint8_t)n[1];
  r->lun = (uint8_t)n[2];
  r->command = (uint8_t)n[3];
  r->length = (uint16_t)length;
  if (length) memcpy(r->data, bytes, length);
  pthread_mutex_lock(&d->mutex);
  if (atomic_load(&d->stopping)) error = EBADF;
  else if (d->waiting >= WAITING_MAX) error = EBUSY;
  else {
    *d->last = r;
    d->last = &r->next;
    d->waiting++;
  }
  pthread_mutex_unlock(&d->mutex);
  if (error) {
    free(r);
  } else {
    uint64_t one = 1;
    while (write(d->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
  }
  return napi_create_int32(env, error, &result) == napi_ok ? result : NULL;
}

// close(handle): the thread ends, then the descriptor is closed. Nothing waits for it.
static napi_value Close(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value a[1];
  if (napi_get_cb_info(env, info, &count, a, NULL, NULL) != napi_ok) return NULL;
  Device *d = count == 1 ? get_device(env, a[0]) : NULL;
  if (!d) return throw_type(env, "close(handle)");
  stop(d);
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value function;
  const struct {
    const char *name;
    napi_callback call;
  } functions[] = {{"open", Open}, {"send", Send}, {"close", Close}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) {
      return NULL;
    }
  }
  return exports;
}
