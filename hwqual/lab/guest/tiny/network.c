// The tiny guest's network: answers ARP, ICMP echo and timestamp, echoes datagrams on port 7, and takes commands on port 9. IPv4 only, no
// fragments. An answer goes back the way its question came, so nothing is ever looked up.
#include "tiny.h"

enum { RECEIVING = 32, SENDING = 32, HEADER = 10 };
enum { ETHER = 14, IP = 20, UDP = 8 };

struct buffer { u8 header[HEADER]; u8 bytes[2048]; };

static u8 receive_ring[RING_BYTES] __attribute__((aligned(4096)));
static u8 send_ring[RING_BYTES] __attribute__((aligned(4096)));
static struct queue receives, sends;
static struct buffer received[RECEIVING], sent[SENDING];
static u32 sending; // a bit for each
static u8 mac[6], address[4];
static struct request command;

static u16 get16(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static void put16(u8 *p, u32 v) { p[0] = (u8)(v >> 8), p[1] = (u8)v; }
static void put32(u8 *p, u32 v) { put16(p, v >> 16), put16(p + 2, v); }

static u16 checksum(const u8 *p, u32 length) {
  u32 sum = 0;
  for (; length > 1; p += 2, length -= 2) sum += get16(p);
  if (length) sum += (u32)p[0] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (u16)~sum;
}

// A frame for which there is no room is lost, as on any network.
static void send(const u8 *frame, u32 length) {
  for (int slot; (slot = take_used(&sends, 0)) >= 0;) sending &= ~(1u << slot);
  for (u16 slot = 0; slot < SENDING; slot++) {
    if (sending & 1u << slot) continue;
    sending |= 1u << slot;
    struct buffer *b = &sent[slot];
    memcpy(b->bytes, frame, length);
    if (length < 60) memset(b->bytes + length, 0, 60 - length), length = 60;
    struct part parts[] = {{b->header, HEADER}, {b->bytes, length}};
    offer(&sends, slot, parts, 2, 2);
    notify(&sends);
    return;
  }
}

static void claim_address(void) {
  u8 f[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  memcpy(f + 6, mac, 6);
  static const u8 arp[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  memcpy(f + 12, arp, 10);
  memcpy(f + 22, mac, 6);
  memcpy(f + 28, address, 4);
  memcpy(f + 38, address, 4);
  send(f, 42);
}

static void on_arp(u8 *f, u32 length) {
  if (length < 42 || get16(f + 20) != 1 || memcmp(f + 38, address, 4) != 0) return;
  put16(f + 20, 2);
  memcpy(f, f + 6, 6);
  memcpy(f + 6, mac, 6);
  memcpy(f + 32, f + 22, 10);
  memcpy(f + 22, mac, 6);
  memcpy(f + 28, address, 4);
  send(f, 42);
}

// Back where it came from: both headers' addresses exchanged.
static void send_back(u8 *f, u32 ip_bytes) {
  memcpy(f, f + 6, 6);
  memcpy(f + 6, mac, 6);
  u8 *ip = f + ETHER;
  memcpy(ip + 16, ip + 12, 4);
  memcpy(ip + 12, address, 4);
  put16(ip + 2, ip_bytes);
  put16(ip + 4, 0);
  put16(ip + 6, 0x4000);
  ip[8] = 64;
  put16(ip + 10, 0);
  put16(ip + 10, checksum(ip, IP));
  send(f, ETHER + ip_bytes);
}

static void on_icmp(u8 *f, u32 ip_bytes) {
  u8 *icmp = f + ETHER + IP;
  u32 length = ip_bytes - IP;
  if (length < 8) return;
  if (icmp[0] == 8) icmp[0] = 0;
  else if (icmp[0] == 13 && length >= 20) {
    icmp[0] = 14;
    u32 ms = now_ms() % 86400000u;
    put32(icmp + 12, ms);
    put32(icmp + 16, ms);
  } else return;
  put16(icmp + 2, 0);
  put16(icmp + 2, checksum(icmp, length));
  send_back(f, ip_bytes);
}

static void udp_back(u8 *f, u32 payload) {
  u8 *udp = f + ETHER + IP;
  u8 from[2];
  memcpy(from, udp, 2);
  memcpy(udp, udp + 2, 2);
  memcpy(udp + 2, from, 2);
  put16(udp + 4, UDP + payload);
  // No checksum: IPv4 allows it, and Ethernet has its own.
  put16(udp + 6, 0);
  send_back(f, IP + UDP + payload);
}

void answer_datagram(struct request *r, const char *text) {
  u8 *payload = r->frame + ETHER + IP + UDP;
  u32 n = 0;
  for (; text[n]; n++) payload[n] = (u8)text[n];
  udp_back(r->frame, n);
}

static void on_udp(u8 *f, u32 ip_bytes) {
  u8 *udp = f + ETHER + IP;
  u32 length = ip_bytes < IP + UDP ? 0 : get16(udp + 4);
  if (length < UDP || IP + length > ip_bytes) return;
  u32 payload = length - UDP;
  u16 port = get16(udp + 2);
  if (port == 7) udp_back(f, payload);
  if (port != 9 || payload == 0 || payload > 63) return;
  char line[64];
  memcpy(line, udp + UDP, payload);
  line[payload - (line[payload - 1] == '\n')] = 0;
  command.length = ETHER + ip_bytes;
  memcpy(command.frame, f, command.length);
  on_command(&command, line);
}

static void on_frame(u8 *f, u32 length) {
  if (length < ETHER + IP || length > FRAME_BYTES) return;
  if (get16(f + 12) == 0x0806) on_arp(f, length);
  u8 *ip = f + ETHER;
  u32 ip_bytes = get16(ip + 2);
  // No options, no fragments, and for this guest.
  if (get16(f + 12) != 0x0800 || ip[0] != 0x45 || (get16(ip + 6) & 0x3fff) || memcmp(ip + 16, address, 4) != 0) return;
  if (ip_bytes < IP || ETHER + ip_bytes > length || checksum(ip, IP) != 0) return;
  if (ip[9] == 1) on_icmp(f, ip_bytes);
  if (ip[9] == 17) on_udp(f, ip_bytes);
}

static void listen(u16 slot) {
  struct buffer *b = &received[slot];
  struct part parts[] = {{b->header, HEADER}, {b->bytes, sizeof b->bytes}};
  offer(&receives, slot, parts, 2, 0);
}

void start_network(u32 own) {
  put32(address, own);
  u16 ports = find_device(0x1af4, 0x1000);
  start_device(ports);
  for (int i = 0; i < 6; i++) mac[i] = in8(ports + 20 + i);
  open_queue(&receives, ports, 0, receive_ring);
  open_queue(&sends, ports, 1, send_ring);
  for (u16 slot = 0; slot < RECEIVING; slot++) listen(slot);
  device_ready(ports);
  notify(&receives);
  claim_address();
}

void serve_network(void) {
  u32 length;
  int any = 0;
  for (int slot; (slot = take_used(&receives, &length)) >= 0; any = 1) {
    if (length > HEADER) on_frame(received[slot].bytes, length - HEADER);
    listen((u16)slot);
  }
  if (any) notify(&receives);
}
