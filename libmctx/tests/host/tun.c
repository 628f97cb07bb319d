/* SPDX-License-Identifier: MIT */
/* A point-to-point interface whose peer is the test, which makes its packets by hand (RFC 791, 8200, 768). */
#include "host/tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { IPV4_HEADER = 20, IPV6_HEADER = 40, UDP_HEADER = 8, UDP_PROTOCOL = 17 };

int tun_open(const char *name) {
  struct ifreq wanted = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (tun < 0) SKIP("this host has no /dev/net/tun");
  snprintf(wanted.ifr_name, sizeof wanted.ifr_name, "%s", name);
  assert_int_equal(0, ioctl(tun, TUNSETIFF, &wanted));
  host_run("ip link set %s up", name);
  return tun;
}

static void put16(unsigned char *at, size_t value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

static uint32_t sum(uint32_t before, const unsigned char *data, size_t length) {
  for (size_t i = 0; i < length; i++)
    before += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
  return before;
}

static uint16_t folded(uint32_t sum_of_all) {
  while (sum_of_all >> 16 != 0)
    sum_of_all = (sum_of_all & 0xffff) + (sum_of_all >> 16);
  return (uint16_t)~sum_of_all;
}

static size_t put_ip_header(unsigned char *packet, const mctx_address *source, const mctx_address *destination,
                            size_t payload) {
  if (source->family == 4) {
    packet[0] = 0x45;
    put16(packet + 2, IPV4_HEADER + payload);
    packet[8] = 1; /* TTL */
    packet[9] = UDP_PROTOCOL;
    memcpy(packet + 12, source->bytes, 4);
    memcpy(packet + 16, destination->bytes, 4);
    put16(packet + 10, folded(sum(0, packet, IPV4_HEADER)));
    return IPV4_HEADER;
  }
  packet[0] = 0x60;
  put16(packet + 4, payload);
  packet[6] = UDP_PROTOCOL;
  packet[7] = 1; /* hop limit */
  memcpy(packet + 8, source->bytes, 16);
  memcpy(packet + 24, destination->bytes, 16);
  return IPV6_HEADER;
}

void tun_inject(int tun, const mctx_address *source, const mctx_address *destination, const char *text) {
  unsigned char packet[512] = {0};
  size_t address = source->family == 4 ? 4 : 16;
  size_t length = UDP_HEADER + strlen(text);
  assert_in_range(length, UDP_HEADER, 400);
  size_t header = put_ip_header(packet, source, destination, length);
  unsigned char *udp = packet + header;
  put16(udp, source->port);
  put16(udp + 2, destination->port);
  put16(udp + 4, length);
  memcpy(udp + UDP_HEADER, text, strlen(text));
  uint32_t total = sum((uint32_t)(UDP_PROTOCOL + length), source->bytes, address); /* the pseudo-header */
  total = sum(total, destination->bytes, address);
  put16(udp + 6, folded(sum(total, udp, length)));
  assert_int_equal((ssize_t)(header + length), write(tun, packet, header + length));
}
