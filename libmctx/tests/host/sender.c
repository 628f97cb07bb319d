/* SPDX-License-Identifier: MIT */
/* Plain sending sockets. */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/subscription.h"

static void enable(int sender, int level, int option, const void *value, socklen_t length) {
  assert_int_equal(0, setsockopt(sender, level, option, value, length));
}

int sender_open(uint32_t family, const mctx_address *source, const char *interface) {
  struct sockaddr_storage native;
  int on = 1;
  int index = (int)host_index(interface);
  struct ip_mreqn through = {.imr_ifindex = index};
  int sender = socket(family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(sender >= 0);
  enable(sender, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  enable(sender, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  if (family == 6)
    enable(sender, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
  else
    enable(sender, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through);
  if (source != NULL) {
    socklen_t length = native_address(&native, source);
    assert_int_equal(0, bind(sender, (struct sockaddr *)&native, length));
  }
  return sender;
}

int sender_there(uint32_t family, const mctx_address *source, const char *interface) {
  there_begin();
  int sender = sender_open(family, source, interface);
  there_end();
  return sender;
}

void send_bytes(int sender, const mctx_address *destination, const void *data, size_t length) {
  struct sockaddr_storage native;
  socklen_t native_length = native_address(&native, destination);
  assert_int_equal((ssize_t)length, sendto(sender, data, length, 0, (struct sockaddr *)&native, native_length));
}

void send_superpacket(int sender, const mctx_address *destination, const void *data, size_t length,
                      uint16_t segment_size) {
  struct sockaddr_storage native;
  struct iovec payload = {(void *)(uintptr_t)data, length};
  _Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof segment_size)] = {0};
  struct msghdr message = {.msg_name = &native,
                           .msg_namelen = native_address(&native, destination),
                           .msg_iov = &payload,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = IPPROTO_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof segment_size);
  memcpy(CMSG_DATA(header), &segment_size, sizeof segment_size);
  assert_int_equal((ssize_t)length, sendmsg(sender, &message, 0));
}

void send_text(int sender, const mctx_address *destination, const char *text) {
  send_bytes(sender, destination, text, strlen(text));
}

void say(const mctx_address *source, const char *interface, const mctx_address *destination, const char *text) {
  int sender = sender_open(destination->family, source, interface);
  send_text(sender, destination, text);
  close(sender);
}

void say_there(const mctx_address *source, const char *interface, const mctx_address *destination,
               const char *text) {
  int sender = sender_there(destination->family, source, interface);
  send_text(sender, destination, text);
  close(sender);
}
