// AF_PACKET sockets and network interface requests for Node, by Node-API (one binary for every Node release).
//
// Frames cross the border in batches: be32 length, frame, be32 length, frame... the framing of the engine's `-netdev stream`, so a
// batch goes to the engine and back without being taken apart. No static data: any number of threads may load it, each socket
// belongs to the thread (environment) that opened it. A worker that ends closes its sockets by the cleanup hook.
//
// Life of a Socket: open -> uv_poll active, both references strong -> shut() by close or by the hook -> uv_close -> on_closed.
// It is freed when both the poll handle is closed and the JavaScript object was collected (`owners`).
#define _GNU_SOURCE
#define NAPI_VERSION 9
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <node_api.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

// Frames per wake-up and per system call. Enough to spread the cost of a call, small enough not to starve the event loop.
#define BATCH_FRAMES 64
// The largest frame the kernel hands over: a 64 KiB segment train with its headers.
#define FRAME_MAX 65600
#define LENGTH_BYTES 4
#define VLAN_BYTES 4
#define ETHERNET_BYTES 14
// One batch: 64 ordinary frames and room for one of the largest kind.
#define BATCH_BYTES (BATCH_FRAMES * 2048 + FRAME_MAX + LENGTH_BYTES + VLAN_BYTES)

typedef struct {
  int fd;
  int ifindex;
  int mtu;
  int owners;
  bool open;
  bool writable_wanted;
  napi_env env;
  napi_ref self;
  napi_ref on_frames;
  napi_ref on_event;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  uv_poll_t poll;
  // Counters since open.
  uint64_t received_frames, received_bytes, sent_frames, sent_bytes;
  uint64_t kernel_dropped, oversized, truncated, checksums_completed, checksums_incomplete, send_dropped;
  uint8_t *batch;  // BATCH_BYTES, while open
} Socket;

static const napi_type_tag SOCKET_TAG = {0x7477696e73746570ULL, 0x7061636b65740001ULL};

// ---------------------------------------------------------------- errors

static napi_value throw_errno(napi_env env, int error, const char *what) {
  char message[256], code[16];
  napi_value text, tag, object, number;
  snprintf(message, sizeof message, "%s: %s", what, strerror(error));
  const char *name = strerrorname_np(error);
  snprintf(code, sizeof code, "%s", name ? name : "EUNKNOWN");
  if (napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text) != napi_ok) return NULL;
  if (napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &tag) != napi_ok) return NULL;
  if (napi_create_error(env, tag, text, &object) != napi_ok) return NULL;
  napi_create_int32(env, error, &number);
  napi_set_named_property(env, object, "errno", number);
  napi_throw(env, object);
  return NULL;
}

static napi_value throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return NULL;
}

static bool get_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *arguments) {
  size_t count = wanted;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return false;
  if (count < wanted) {
    napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments");
    return false;
  }
  return true;
}

static napi_value throw_no_nic(napi_env env, const char *nic) {
  char message[128];
  snprintf(message, sizeof message, "no such NIC '%s'", nic);
  napi_throw_error(env, "ENODEV", message);
  return NULL;
}

// Reads a NIC's name; longer than the kernel allows is the same as not there.
static bool get_nic(napi_env env, napi_value value, char nic[IFNAMSIZ]) {
  char name[64];
  size_t length;
  if (napi_get_value_string_utf8(env, value, name, sizeof name, &length) != napi_ok) {
    throw_type(env, "the NIC's name must be a string");
    return false;
  }
  if (length == 0 || length >= IFNAMSIZ) {
    throw_no_nic(env, name);
    return false;
  }
  memset(nic, 0, IFNAMSIZ);
  memcpy(nic, name, length);
  return true;
}

static Socket *get_socket(napi_env env, napi_value value) {
  bool tagged = false;
  void *data = NULL;
  if (napi_check_object_type_tag(env, value, &SOCKET_TAG, &tagged) != napi_ok || !tagged ||
      napi_unwrap(env, value, &data) != napi_ok) {
    throw_type(env, "not a packet socket");
    return NULL;
  }
  return data;
}

static napi_value undefined(napi_env env) {
  napi_value value = NULL;
  napi_get_undefined(env, &value);
  return value;
}

// ---------------------------------------------------------------- partial checksums

static uint32_t sum16(const uint8_t *data, size_t length, uint32_t sum) {
  while (length > 1) {
    sum += (uint32_t)data[0] << 8 | data[1];
    data += 2;
    length -= 2;
  }
  if (length) sum += (uint32_t)data[0] << 8;
  return sum;
}

// A sender on the same machine leaves TCP and UDP checksums to its NIC: the field then holds the pseudo header's sum only.
// Completes it in place. False: a frame whose checksum cannot be found.
static bool complete_checksum(uint8_t *frame, size_t length) {
  size_t at = 12;
  if (length < ETHERNET_BYTES) return false;
  uint16_t type = (uint16_t)(frame[at] << 8 | frame[at + 1]);
  while (type == ETH_P_8021Q || type == ETH_P_8021AD) {
    at += VLAN_BYTES;
    if (length < at + 2) return false;
    type = (uint16_t)(frame[at] << 8 | frame[at + 1]);
  }
  at += 2;
  size_t end = length;
  uint8_t protocol;
  if (type == ETH_P_IP) {
    if (length < at + 20) return false;
    size_t header = (size_t)(frame[at] & 15) * 4, total = (size_t)(frame[at + 2] << 8 | frame[at + 3]);
    if (header < 20 || total < header || length < at + total) return false;
    if ((frame[at + 6] & 0x3f) || frame[at + 7]) return false;  // a fragment
    protocol = frame[at + 9];
    end = at + total;
    at += header;
  } else if (type == ETH_P_IPV6) {
    if (length < at + 40) return false;
    size_t payload = (size_t)(frame[at + 4] << 8 | frame[at + 5]);
    protocol = frame[at + 6];
    at += 40;
    if (length < at + payload) return false;
    end = at + payload;
    // Hop-by-hop, routing, destination options.
    while (protocol == 0 || protocol == 43 || protocol == 60) {
      if (end < at + 8) return false;
      protocol = frame[at];
      at += (size_t)(frame[at + 1] + 1) * 8;
      if (at > end) return false;
    }
  } else {
    return false;
  }
  size_t field;
  if (protocol == IPPROTO_TCP) field = at + 16;
  else if (protocol == IPPROTO_UDP) field = at + 6;
  else return false;
  if (end < field + 2) return false;
  uint32_t sum = sum16(frame + at, end - at, 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  uint16_t checksum = (uint16_t)~sum;
  if (checksum == 0 && protocol == IPPROTO_UDP) checksum = 0xffff;
  frame[field] = (uint8_t)(checksum >> 8);
  frame[field + 1] = (uint8_t)checksum;
  return true;
}

// ---------------------------------------------------------------- calling JavaScript

// An exception thrown by the callee becomes an uncaught exception of its thread, as with every other event.
static void call(Socket *s, napi_ref function, size_t count, napi_value *arguments) {
  napi_env env = s->env;
  napi_value callee, global, exception;
  bool pending = false;
  if (napi_get_reference_value(env, function, &callee) != napi_ok || !callee) return;
  if (napi_get_global(env, &global) != napi_ok) return;
  if (napi_make_callback(env, s->context, global, callee, count, arguments, NULL) == napi_ok) return;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
}

// error 0: writable again.
static void report(Socket *s, int error) {
  napi_handle_scope scope;
  napi_value arguments[2];
  if (napi_open_handle_scope(s->env, &scope) != napi_ok) return;
  const char *name = error ? strerrorname_np(error) : "";
  napi_create_int32(s->env, error, &arguments[0]);
  napi_create_string_utf8(s->env, name ? name : "EUNKNOWN", NAPI_AUTO_LENGTH, &arguments[1]);
  call(s, s->on_event, 2, arguments);
  napi_close_handle_scope(s->env, scope);
}

// ---------------------------------------------------------------- receiving

static int interface_mtu(const char *nic, int index) {
  struct ifreq request = {0};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = 0;
  if (fd < 0) return 0;
  if (nic) memcpy(request.ifr_name, nic, IFNAMSIZ);
  if ((nic || if_indextoname((unsigned)index, request.ifr_name)) && ioctl(fd, SIOCGIFMTU, &request) == 0) mtu = request.ifr_mtu;
  close(fd);
  return mtu;
}

// Receives one frame to `to` (LENGTH_BYTES, then room for FRAME_MAX + VLAN_BYTES). Returns the bytes used; 0: dropped; -1: errno.
static ssize_t receive_frame(Socket *s, uint8_t *to) {
  uint8_t *frame = to + LENGTH_BYTES;
  struct iovec piece = {.iov_base = frame, .iov_len = FRAME_MAX};
  union {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
  } control;
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t received = recvmsg(s->fd, &message, MSG_DONTWAIT | MSG_TRUNC);
  if (received < 0) return -1;
  if (received > FRAME_MAX || received < ETHERNET_BYTES) {
    s->truncated++;
    return 0;
  }
  size_t length = (size_t)received;
  struct tpacket_auxdata auxiliary = {0};
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA && c->cmsg_len >= CMSG_LEN(sizeof auxiliary)) {
      memcpy(&auxiliary, CMSG_DATA(c), sizeof auxiliary);
    }
  }
  if (auxiliary.tp_status & TP_STATUS_VLAN_VALID) {  // the kernel took the tag out: put it back
    uint16_t protocol = auxiliary.tp_status & TP_STATUS_VLAN_TPID_VALID ? auxiliary.tp_vlan_tpid : ETH_P_8021Q;
    memmove(frame + 12 + VLAN_BYTES, frame + 12, length - 12);
    frame[12] = (uint8_t)(protocol >> 8);
    frame[13] = (uint8_t)protocol;
    frame[14] = (uint8_t)(auxiliary.tp_vlan_tci >> 8);
    frame[15] = (uint8_t)auxiliary.tp_vlan_tci;
    length += VLAN_BYTES;
  }
  if (s->mtu > 0 && length > (size_t)s->mtu + ETHERNET_BYTES + VLAN_BYTES) {
    s->mtu = interface_mtu(NULL, s->ifindex);  // it may have been raised since
    if (s->mtu > 0 && length > (size_t)s->mtu + ETHERNET_BYTES + VLAN_BYTES) s->oversized++;
  }
  if (auxiliary.tp_status & TP_STATUS_CSUMNOTREADY) {
    if (complete_checksum(frame, length)) s->checksums_completed++;
    else s->checksums_incomplete++;
  }
  to[0] = (uint8_t)(length >> 24);
  to[1] = (uint8_t)(length >> 16);
  to[2] = (uint8_t)(length >> 8);
  to[3] = (uint8_t)length;
  s->received_frames++;
  s->received_bytes += length;
  return (ssize_t)(LENGTH_BYTES + length);
}

static void receive_batch(Socket *s) {
  size_t filled = 0;
  int error = 0;
  for (int i = 0; i < BATCH_FRAMES && filled + LENGTH_BYTES + FRAME_MAX + VLAN_BYTES <= BATCH_BYTES; i++) {
    ssize_t used = receive_frame(s, s->batch + filled);
    if (used < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) error = errno;
      break;
    }
    filled += (size_t)used;
  }
  if (filled > 0) {
    napi_handle_scope scope;
    napi_value batch;
    void *copy;
    if (napi_open_handle_scope(s->env, &scope) != napi_ok) return;
    if (napi_create_buffer_copy(s->env, filled, s->batch, &copy, &batch) == napi_ok) call(s, s->on_frames, 1, &batch);
    napi_close_handle_scope(s->env, scope);
  }
  if (error && s->open) report(s, error);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(Socket *s) {
  uv_poll_start(&s->poll, UV_READABLE | (s->writable_wanted ? UV_WRITABLE : 0), on_poll);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
  Socket *s = handle->data;
  if (!s->open) return;
  if (status < 0) {
    // libuv stops on any socket error. Fetching it (the NIC went down) clears it, and the socket is as good as before.
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) watch(s);
    report(s, error ? error : -status);
    return;
  }
  if ((events & UV_WRITABLE) && s->writable_wanted) {
    s->writable_wanted = false;
    watch(s);
    report(s, 0);
    if (!s->open) return;
  }
  if (events & UV_READABLE) receive_batch(s);
}

// ---------------------------------------------------------------- closing

static void disown(Socket *s) {
  if (--s->owners == 0) free(s);
}

static void on_closed(uv_handle_t *handle) {
  Socket *s = handle->data;
  if (s->hook) napi_remove_async_cleanup_hook(s->hook);
  s->hook = NULL;
  disown(s);
}

static void shut(Socket *s) {
  if (!s->open) return;
  s->open = false;
  uv_poll_stop(&s->poll);
  close(s->fd);
  s->fd = -1;
  free(s->batch);
  s->batch = NULL;
  napi_delete_reference(s->env, s->on_frames);
  napi_delete_reference(s->env, s->on_event);
  napi_async_destroy(s->env, s->context);
  napi_delete_reference(s->env, s->self);
  uv_close((uv_handle_t *)&s->poll, on_closed);
}

static void on_thread_end(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;  // removed in on_closed, which shut() leads to, or a close under way already does
  shut(data);
}

static void on_collected(node_api_basic_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  disown(data);
}

// ---------------------------------------------------------------- functions

static bool set_option(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value) == 0; }

// open(nic, etherType, promiscuous, priority, receiveBufferBytes, sendBufferBytes, onFrames(batch), onEvent(errno, name)) -> socket
static napi_value Open(napi_env env, napi_callback_info info) {
  napi_value a[8];
  char nic[IFNAMSIZ], what[128];
  uint32_t ether_type, priority, receive_bytes, send_bytes;
  bool promiscuous;
  napi_valuetype frames_type, event_type;
  if (!get_arguments(env, info, 8, a)) return NULL;
  if (napi_get_value_uint32(env, a[1], &ether_type) != napi_ok || napi_get_value_bool(env, a[2], &promiscuous) != napi_ok ||
      napi_get_value_uint32(env, a[3], &priority) != napi_ok || napi_get_value_uint32(env, a[4], &receive_bytes) != napi_ok ||
      napi_get_value_uint32(env, a[5], &send_bytes) != napi_ok || napi_typeof(env, a[6], &frames_type) != napi_ok ||
      napi_typeof(env, a[7], &event_type) != napi_ok || frames_type != napi_function || event_type != napi_function) {
    return throw_type(env, "open(nic, etherType, promiscuous, priority, receiveBufferBytes, sendBufferBytes, onFrames, onEvent)");
  }
  if (!get_nic(env, a[0], nic)) return NULL;
  unsigned index = if_nametoindex(nic);
  if (index == 0) return throw_no_nic(env, nic);
  snprintf(what, sizeof what, "packet socket on NIC '%s'", nic);

  // Protocol 0 until it is bound: otherwise frames of every other NIC would come in first.
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, errno == EPERM ? "packet sockets need root (CAP_NET_RAW)" : what);
  if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)receive_bytes)) set_option(fd, SOL_SOCKET, SO_RCVBUF, (int)receive_bytes);
  if (!set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)send_bytes)) set_option(fd, SOL_SOCKET, SO_SNDBUF, (int)send_bytes);
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)ether_type), .sll_ifindex = (int)index};
  struct packet_mreq membership = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  if (!set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) || !set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1) ||
      !set_option(fd, SOL_SOCKET, SO_PRIORITY, (int)priority) || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      (promiscuous && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0)) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, what);
  }

  Socket *s = calloc(1, sizeof *s);
  uv_loop_t *loop = NULL;
  if (s) s->batch = malloc(BATCH_BYTES);
  if (!s || !s->batch || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    if (s) free(s->batch);
    free(s);
    close(fd);
    return throw_errno(env, ENOMEM, what);
  }
  s->fd = fd;
  s->ifindex = address.sll_ifindex;
  s->mtu = interface_mtu(nic, 0);
  s->env = env;
  int failed = uv_poll_init(loop, &s->poll, fd);
  if (failed) {
    free(s->batch);
    free(s);
    close(fd);
    return throw_errno(env, -failed, what);
  }
  s->poll.data = s;
  // From here the poll handle owns it: failures below (out of memory) end in shut().
  s->owners = 1;
  s->open = true;
  napi_value object = NULL, name;
  napi_create_string_utf8(env, "twinstep:packet", NAPI_AUTO_LENGTH, &name);
  bool made = napi_create_object(env, &object) == napi_ok && napi_create_reference(env, a[6], 1, &s->on_frames) == napi_ok &&
              napi_create_reference(env, a[7], 1, &s->on_event) == napi_ok && napi_async_init(env, object, name, &s->context) == napi_ok &&
              napi_create_reference(env, object, 1, &s->self) == napi_ok &&
              napi_type_tag_object(env, object, &SOCKET_TAG) == napi_ok &&
              napi_add_async_cleanup_hook(env, on_thread_end, s, &s->hook) == napi_ok;
  if (made && napi_wrap(env, object, s, on_collected, NULL, NULL) == napi_ok) {
    s->owners++;
    watch(s);
    return object;
  }
  shut(s);
  return throw_errno(env, ENOMEM, what);
}

// send(socket, batch) -> bytes taken: whole frames, from the start. Fewer than given: the queue is full (onEvent(0) follows), or the
// batch ends within a frame.
static napi_value Send(napi_env env, napi_callback_info info) {
  napi_value a[2], result;
  uint8_t *data;
  size_t length, taken = 0;
  void *bytes;
  if (!get_arguments(env, info, 2, a)) return NULL;
  Socket *s = get_socket(env, a[0]);
  if (!s) return NULL;
  if (napi_get_buffer_info(env, a[1], &bytes, &length) != napi_ok) return throw_type(env, "the batch must be a Buffer");
  if (!s->open) return throw_errno(env, EBADF, "this packet socket is closed");
  data = bytes;
  bool full = false;
  while (!full) {
    struct mmsghdr messages[BATCH_FRAMES];
    struct iovec pieces[BATCH_FRAMES];
    unsigned count = 0;
    size_t at = taken;
    for (; count < BATCH_FRAMES && length - at >= LENGTH_BYTES; count++) {
      size_t frame = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 | data[at + 3];
      if (frame < ETHERNET_BYTES || frame > FRAME_MAX) {
        if (count > 0) break;  // what is before it leaves first
        char message[96];
        snprintf(message, sizeof message, "a frame of %zu bytes at offset %zu of the batch", frame, at);
        napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
        return NULL;
      }
      if (length - at - LENGTH_BYTES < frame) break;
      pieces[count] = (struct iovec){.iov_base = data + at + LENGTH_BYTES, .iov_len = frame};
      messages[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &pieces[count], .msg_iovlen = 1}};
      at += LENGTH_BYTES + frame;
    }
    if (count == 0) break;
    int sent = sendmmsg(s->fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        full = true;
        break;
      }
      // This frame cannot leave (larger than the MTU, NIC down, its queue full): lost, as on any wire.
      s->send_dropped++;
      taken += LENGTH_BYTES + pieces[0].iov_len;
      continue;
    }
    for (int i = 0; i < sent; i++) {
      taken += LENGTH_BYTES + pieces[i].iov_len;
      s->sent_frames++;
      s->sent_bytes += pieces[i].iov_len;
    }
  }
  if (full && !s->writable_wanted) {
    s->writable_wanted = true;
    watch(s);
  }
  napi_create_uint32(env, (uint32_t)taken, &result);
  return result;
}

static napi_value Statistics(napi_env env, napi_callback_info info) {
  napi_value a[1], object, value;
  if (!get_arguments(env, info, 1, a)) return NULL;
  Socket *s = get_socket(env, a[0]);
  if (!s) return NULL;
  struct tpacket_stats kernel = {0};
  socklen_t size = sizeof kernel;
  // Reading clears the kernel's counters.
  if (s->open && getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, &kernel, &size) == 0) s->kernel_dropped += kernel.tp_drops;
  const struct {
    const char *name;
    uint64_t value;
  } fields[] = {
      {"receivedFrames", s->received_frames},     {"receivedBytes", s->received_bytes},
      {"sentFrames", s->sent_frames},             {"sentBytes", s->sent_bytes},
      {"kernelDropped", s->kernel_dropped},       {"oversized", s->oversized},
      {"truncated", s->truncated},                {"checksumsCompleted", s->checksums_completed},
      {"checksumsIncomplete", s->checksums_incomplete}, {"sendDropped", s->send_dropped},
  };
  napi_create_object(env, &object);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    napi_create_double(env, (double)fields[i].value, &value);
    napi_set_named_property(env, object, fields[i].name, value);
  }
  return object;
}

static napi_value Close(napi_env env, napi_callback_info info) {
  napi_value a[1];
  if (!get_arguments(env, info, 1, a)) return NULL;
  Socket *s = get_socket(env, a[0]);
  if (s) shut(s);
  return s ? undefined(env) : NULL;
}

// ioctl(fd, request, buffer) -> the call's result; the buffer is changed in place.
static napi_value Ioctl(napi_env env, napi_callback_info info) {
  napi_value a[3], value;
  int32_t fd;
  uint32_t request;
  void *data;
  size_t length;
  if (!get_arguments(env, info, 3, a)) return NULL;
  if (napi_get_value_int32(env, a[0], &fd) != napi_ok || napi_get_value_uint32(env, a[1], &request) != napi_ok ||
      napi_get_buffer_info(env, a[2], &data, &length) != napi_ok) {
    return throw_type(env, "ioctl(fd, request, buffer)");
  }
  // The request's own size (bits 16-29, <asm-generic/ioctl.h>) must fit: the kernel writes there.
  if (length < ((request >> 16) & 0x3fff)) return throw_type(env, "the buffer is smaller than the request's argument");
  int result = ioctl(fd, (unsigned long)request, data);
  if (result < 0) {
    char what[64];
    int error = errno;
    snprintf(what, sizeof what, "ioctl 0x%x on descriptor %d", request, fd);
    return throw_errno(env, error, what);
  }
  napi_create_int32(env, result, &value);
  return value;
}

static napi_value request_nic(napi_env env, const char *nic, unsigned long number, struct ifreq *request, const char *name) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket");
  memcpy(request->ifr_name, nic, IFNAMSIZ);
  int result = ioctl(fd, number, request), error = errno;
  close(fd);
  if (result < 0 && error == ENODEV) return throw_no_nic(env, nic);
  if (result < 0) {
    char what[128];
    snprintf(what, sizeof what, "%s on NIC '%s'", name, nic);
    return throw_errno(env, error, what);
  }
  return undefined(env);
}

// interfaceRequest(nic, request, buffer): SIOCGIF... requests; the buffer (24 bytes) is what follows the name in struct ifreq.
static napi_value InterfaceRequest(napi_env env, napi_callback_info info) {
  napi_value a[3];
  char nic[IFNAMSIZ], name[32];
  uint32_t number;
  void *data;
  size_t length;
  struct ifreq request = {0};
  const size_t room = sizeof request - IFNAMSIZ;
  if (!get_arguments(env, info, 3, a) || !get_nic(env, a[0], nic)) return NULL;
  if (napi_get_value_uint32(env, a[1], &number) != napi_ok || napi_get_buffer_info(env, a[2], &data, &length) != napi_ok || length < room) {
    return throw_type(env, "interfaceRequest(nic, request, buffer of 24 bytes)");
  }
  // Requests that take a pointer (SIOCETHTOOL and driver-private ones) would let the kernel write anywhere.
  if (number < SIOCGIFNAME || number > SIOCSIFTXQLEN || number == SIOCGIFCONF) return throw_type(env, "this request is not allowed here");
  memcpy((uint8_t *)&request + IFNAMSIZ, data, room);
  snprintf(name, sizeof name, "request 0x%x", number);
  napi_value result = request_nic(env, nic, number, &request, name);
  if (result) memcpy(data, (uint8_t *)&request + IFNAMSIZ, room);
  return result;
}

// ethtool(nic, command, value) -> value: the commands with one 32-bit value (struct ethtool_value).
static napi_value Ethtool(napi_env env, napi_callback_info info) {
  napi_value a[3], result;
  char nic[IFNAMSIZ], name[32];
  struct ethtool_value argument = {0};
  if (!get_arguments(env, info, 3, a) || !get_nic(env, a[0], nic)) return NULL;
  if (napi_get_value_uint32(env, a[1], &argument.cmd) != napi_ok || napi_get_value_uint32(env, a[2], &argument.data) != napi_ok) {
    return throw_type(env, "ethtool(nic, command, value)");
  }
  switch (argument.cmd) {
    case ETHTOOL_GLINK: case ETHTOOL_GRXCSUM: case ETHTOOL_SRXCSUM: case ETHTOOL_GTXCSUM: case ETHTOOL_STXCSUM: case ETHTOOL_GSG:
    case ETHTOOL_SSG: case ETHTOOL_GTSO: case ETHTOOL_STSO: case ETHTOOL_GUFO: case ETHTOOL_SUFO: case ETHTOOL_GGSO: case ETHTOOL_SGSO:
    case ETHTOOL_GGRO: case ETHTOOL_SGRO: case ETHTOOL_GFLAGS: case ETHTOOL_SFLAGS:
      break;
    default:
      return throw_type(env, "not an ethtool command with one value");
  }
  struct ifreq request = {0};
  request.ifr_data = (void *)&argument;
  snprintf(name, sizeof name, "ethtool command 0x%x", argument.cmd);
  if (!request_nic(env, nic, SIOCETHTOOL, &request, name)) return NULL;
  napi_create_uint32(env, argument.data, &result);
  return result;
}

// driverInfo(nic, buffer): struct ethtool_drvinfo (ETHTOOL_GDRVINFO) into the buffer, which is at least as large.
static napi_value DriverInfo(napi_env env, napi_callback_info info) {
  napi_value a[2];
  char nic[IFNAMSIZ];
  void *data;
  size_t length;
  struct ethtool_drvinfo argument = {.cmd = ETHTOOL_GDRVINFO};
  struct ifreq request = {0};
  if (!get_arguments(env, info, 2, a) || !get_nic(env, a[0], nic)) return NULL;
  if (napi_get_buffer_info(env, a[1], &data, &length) != napi_ok || length < sizeof argument) {
    return throw_type(env, "driverInfo(nic, buffer of 196 bytes)");
  }
  request.ifr_data = (void *)&argument;
  napi_value result = request_nic(env, nic, SIOCETHTOOL, &request, "ethtool driver information");
  if (result) memcpy(data, &argument, sizeof argument);
  return result;
}

// trafficClass(fd, priority, unsentBytes): SO_PRIORITY of a TCP socket, and how much it takes that TCP cannot send yet.
static napi_value TrafficClass(napi_env env, napi_callback_info info) {
  napi_value a[3];
  int32_t fd, priority, unsent;
  if (!get_arguments(env, info, 3, a)) return NULL;
  if (napi_get_value_int32(env, a[0], &fd) != napi_ok || napi_get_value_int32(env, a[1], &priority) != napi_ok ||
      napi_get_value_int32(env, a[2], &unsent) != napi_ok) {
    return throw_type(env, "trafficClass(fd, priority, unsentBytes)");
  }
  if (!set_option(fd, SOL_SOCKET, SO_PRIORITY, priority)) return throw_errno(env, errno, "the socket's priority");
  if (!set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent)) return throw_errno(env, errno, "the socket's limit of unsent bytes");
  return undefined(env);
}

// realtime(priority): SCHED_FIFO for the calling thread; 0: the ordinary scheduler again.
static napi_value Realtime(napi_env env, napi_callback_info info) {
  napi_value a[1];
  int32_t priority;
  if (!get_arguments(env, info, 1, a)) return NULL;
  if (napi_get_value_int32(env, a[0], &priority) != napi_ok) return throw_type(env, "realtime(priority)");
  struct sched_param parameter = {.sched_priority = priority};
  if (sched_setscheduler(0, (priority > 0 ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK, &parameter) != 0) {
    return throw_errno(env, errno, "real-time priority");
  }
  return undefined(env);
}

// pin(cpu): the calling thread runs on this CPU only.
static napi_value Pin(napi_env env, napi_callback_info info) {
  napi_value a[1];
  uint32_t cpu;
  if (!get_arguments(env, info, 1, a)) return NULL;
  if (napi_get_value_uint32(env, a[0], &cpu) != napi_ok || cpu >= CPU_SETSIZE) return throw_type(env, "pin(cpu)");
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return throw_errno(env, errno, "the thread's CPU");
  return undefined(env);
}

// clocks(buffer of 24 bytes): CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, and how long reading took, in ns, as doubles.
// The raw clock is read before and after; the shortest of some attempts counts: a thread may be interrupted in between.
static napi_value Clocks(napi_env env, napi_callback_info info) {
  napi_value a[1];
  double *answer;
  size_t length;
  if (!get_arguments(env, info, 1, a)) return NULL;
  if (napi_get_buffer_info(env, a[0], (void **)&answer, &length) != napi_ok || length < 3 * sizeof *answer ||
      (uintptr_t)answer % sizeof *answer) {
    return throw_type(env, "clocks(aligned buffer of 24 bytes)");
  }
  int64_t best = INT64_MAX;
  for (int i = 0; i < 8; i++) {
    struct timespec before, real, after;
    if (clock_gettime(CLOCK_MONOTONIC_RAW, &before) || clock_gettime(CLOCK_REALTIME, &real) ||
        clock_gettime(CLOCK_MONOTONIC_RAW, &after)) {
      return throw_errno(env, errno, "the clocks");
    }
    int64_t from = before.tv_sec * INT64_C(1000000000) + before.tv_nsec;
    int64_t took = after.tv_sec * INT64_C(1000000000) + after.tv_nsec - from;
    if (took >= best) continue;
    best = took;
    answer[0] = (double)from + (double)took / 2;
    // Doubles have 53 bits: ns of the wall clock since 1970 would lose some. Since 2020 they are good to 64 ns until 2038.
    answer[1] = (double)((real.tv_sec - INT64_C(1577836800)) * INT64_C(1000000000) + real.tv_nsec);
    answer[2] = (double)took;
  }
  return undefined(env);
}

NAPI_MODULE_INIT() {
  const struct {
    const char *name;
    napi_callback function;
  } functions[] = {{"open", Open},   {"send", Send},   {"statistics", Statistics},         {"close", Close},
                   {"ioctl", Ioctl}, {"ethtool", Ethtool}, {"interfaceRequest", InterfaceRequest}, {"realtime", Realtime}, {"trafficClass", TrafficClass},
                   {"driverInfo", DriverInfo}, {"pin", Pin}, {"clocks", Clocks}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function) != napi_ok) return NULL;
    if (napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) return NULL;
  }
  return exports;
}
