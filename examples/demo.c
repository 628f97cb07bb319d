/* SPDX-License-Identifier: MIT */
/*
 * Sends datagrams through a publication to an ordinary receiving socket of this host, on the loopback
 * interface, and counts what arrived:   demo 4|6 COUNT
 *
 * Prints one line, separated by tabs: sent, received in order, seconds, where from, where to. Ends with 77 and
 * a reason where this host cannot do that IP version. A batch is received before the next one is sent, so no
 * receive buffer overflows: whatever is missing was lost.
 */
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <mctx.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BATCH    32
#define SIZE     1000
#define CANNOT   77
#define GROUP_V4 "239.255.77.67"
#define GROUP_V6 "ff11::4d43"

/* The index of the loopback interface; 0 if there is none. */
static uint32_t loopback_index(mctx_error *error) {
  mctx_interface_list list;
  uint32_t count = 0, found = 0;
  if (mctx_interface_list_open(&list, error) != MCTX_OK) return 0;
  if (mctx_interface_list_count(list, &count, error) != MCTX_OK) count = 0;
  for (uint32_t position = 0; position < count && found == 0; position++) {
    mctx_interface_info info = {.size = sizeof info};
    if (mctx_interface_list_get(list, position, &info, error) != MCTX_OK) break;
    if (info.flags & MCTX_INTERFACE_LOOPBACK) found = info.index;
  }
  (void)mctx_close(list, NULL);
  return found;
}

/* An ordinary socket that joined the group on the loopback interface, at a port that the system chose; -1 with
 * errno set where that cannot be. */
static int receiver_open(int family, uint32_t interface_index, uint16_t *port) {
  struct sockaddr_storage any = {0};
  socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  struct timeval patience = {.tv_sec = 2};
  int receiver = socket(family, SOCK_DGRAM, 0);
  if (receiver < 0) return -1;
  any.ss_family = (sa_family_t)family;
  if (bind(receiver, (struct sockaddr *)&any, length) != 0) goto failed;
  if (family == AF_INET) {
    struct ip_mreq member = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    inet_pton(AF_INET, GROUP_V4, &member.imr_multiaddr);
    if (setsockopt(receiver, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member) != 0) goto failed;
  } else {
    struct ipv6_mreq member = {.ipv6mr_interface = interface_index};
    inet_pton(AF_INET6, GROUP_V6, &member.ipv6mr_multiaddr);
    if (setsockopt(receiver, IPPROTO_IPV6, IPV6_JOIN_GROUP, &member, sizeof member) != 0) goto failed;
  }
  if (setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) goto failed;
  if (getsockname(receiver, (struct sockaddr *)&any, &length) != 0) goto failed;
  /* the port stands at the same place for both families */
  *port = ntohs(((struct sockaddr_in *)&any)->sin_port);
  return receiver;
failed:
  close(receiver);
  return -1;
}

static mctx_status publication_open(mctx_context context, int family, uint32_t interface_index, uint16_t port,
                                    mctx_publication *publication, mctx_error *error) {
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  mctx_status status = mctx_address_parse(family == AF_INET ? GROUP_V4 : GROUP_V6, &options.group, error);
  if (status != MCTX_OK) return status;
  /* the loopback interface's address would not be chosen by itself */
  status = mctx_address_parse(family == AF_INET ? "127.0.0.1" : "::1", &options.source, error);
  if (status != MCTX_OK) return status;
  options.port = port;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
  options.outgoing_interface.index = interface_index;
  return mctx_publication_open(context, &options, publication, error);
}

/* Receives `count` datagrams; returns how many of them came, each with the number that it should have. */
static uint64_t receive(int receiver, uint64_t first, uint32_t count) {
  uint64_t right = 0;
  for (uint32_t i = 0; i < count; i++) {
    unsigned char payload[SIZE + 1];
    uint64_t number;
    if (recv(receiver, payload, sizeof payload, 0) != SIZE) break;
    memcpy(&number, payload, sizeof number);
    if (number == first + i) right++;
  }
  return right;
}

/* Sends and receives in turns; returns 0 as long as every datagram was accepted. */
static int exchange(mctx_publication publication, int receiver, uint64_t count, uint64_t *sent,
                    uint64_t *received, mctx_error *error) {
  static unsigned char payloads[BATCH][SIZE];
  mctx_slice slices[BATCH];
  for (uint32_t i = 0; i < BATCH; i++) {
    slices[i] = (mctx_slice){.data = payloads[i], .length = SIZE};
  }
  while (*sent < count) {
    uint32_t batch = count - *sent < BATCH ? (uint32_t)(count - *sent) : BATCH;
    uint64_t accepted = 0;
    for (uint32_t i = 0; i < batch; i++) {
      uint64_t number = *sent + i;
      memcpy(payloads[i], &number, sizeof number);
    }
    mctx_status status = mctx_send_batch(publication, slices, batch, 0, 2000000000, &accepted, error);
    *received += receive(receiver, *sent, (uint32_t)accepted);
    *sent += accepted;
    if (status != MCTX_OK) return 1;
  }
  return 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int report(mctx_publication publication, uint64_t sent, uint64_t received, double seconds,
                  mctx_error *error) {
  mctx_address source, group;
  char from[64], to[64];
  size_t length;
  if (mctx_publication_announce(publication, &source, &group, error) != MCTX_OK) return 1;
  if (mctx_address_format(&source, from, sizeof from, &length, error) != MCTX_OK) return 1;
  if (mctx_address_format(&group, to, sizeof to, &length, error) != MCTX_OK) return 1;
  printf("%llu\t%llu\t%.6f\t%s\t%s\n", (unsigned long long)sent, (unsigned long long)received, seconds, from,
         to);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: demo 4|6 COUNT; `make demo` runs it\n");
    return 2;
  }
  int family = strcmp(argv[1], "6") == 0 ? AF_INET6 : AF_INET;
  uint64_t count = strtoull(argv[2], NULL, 10), sent = 0, received = 0;
  uint16_t port = 0;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_context context = 0;
  mctx_publication publication;
  int result = 1;

  uint32_t interface_index = loopback_index(&error);
  int receiver = interface_index == 0 ? -1 : receiver_open(family, interface_index, &port);
  if (receiver < 0) {
    printf("an ordinary socket cannot receive there: %s\n",
           interface_index == 0 ? "no loopback" : strerror(errno));
    return CANNOT;
  }
  if (mctx_context_open(NULL, &context, &error) != MCTX_OK) goto done;
  if (publication_open(context, family, interface_index, port, &publication, &error) != MCTX_OK) goto done;
  double start = now();
  if (exchange(publication, receiver, count, &sent, &received, &error) != 0) goto done;
  result = report(publication, sent, received, now() - start, &error);
done:
  if (result != 0) printf("%s: %s\n", error.operation, error.message);
  if (result != 0 && sent == 0) result = CANNOT;
  (void)mctx_close(context, NULL);
  close(receiver);
  return result;
}
