/* SPDX-License-Identifier: MIT */
/* The kernel's own tables of memberships and source filters: igmp(4 columns and groups below), igmp6, mcfilter,
 * mcfilter6 of /proc/net. */
#include "host/kernel.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_same(const mctx_address *one, const mctx_address *other) {
  return one->family == other->family && memcmp(one->bytes, other->bytes, sizeof one->bytes) == 0;
}

static FILE *open_table(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/thread-self/net/%s", name);
  return fopen(path, "r"); /* none: the host has no such family */
}

static mctx_address ipv4(uint32_t network_order) {
  mctx_address address = {.family = 4};
  memcpy(address.bytes, &network_order, 4);
  return address;
}

static mctx_address ipv6(const char *digits) {
  mctx_address address = {.family = 6};
  for (size_t i = 0; i < 16; i++) {
    unsigned byte = 0;
    sscanf(digits + 2 * i, "%2x", &byte);
    address.bytes[i] = (uint8_t)byte;
  }
  return address;
}

/* All nodes, all routers, all snoopers, and the solicited-node groups of its addresses. */
static bool is_the_interfaces_own(const mctx_address *group) {
  static const uint8_t all_hosts[] = {224, 0, 0};
  static const uint8_t solicited[13] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  static const uint8_t zeros[12] = {0};
  if (group->family == 4)
    return memcmp(group->bytes, all_hosts, 3) == 0 &&
           (group->bytes[3] <= 2 || group->bytes[3] == 106 || group->bytes[3] == 22);
  if (memcmp(group->bytes, solicited, sizeof solicited) == 0) return true;
  return group->bytes[1] <= 5 && memcmp(group->bytes + 2, zeros, sizeof zeros) == 0 && group->bytes[14] == 0 &&
         (group->bytes[15] <= 2 || group->bytes[15] == 0x6a || group->bytes[15] == 0x16);
}

static void add_group(kernel_tables *tables, uint32_t index, const mctx_address *group, uint32_t users) {
  if (is_the_interfaces_own(group)) return;
  assert_in_range(tables->group_count, 0, KERNEL_GROUPS - 1);
  tables->groups[tables->group_count++] =
      (kernel_group){.interface_index = index, .users = users, .group = *group};
}

/* The kernel tells no filter of an interface whose latest group has none. So the latest, while the tables are
 * read, is one of this reader's own with a filter. */
enum { BAITS = 512 };

static const uint8_t bait_ipv4[4] = {232, 255, 255, 250};
static const uint8_t bait_ipv6[16] = {0xff, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfa};

static bool is_bait(const mctx_address *group) {
  return group->family == 4 ? memcmp(group->bytes, bait_ipv4, sizeof bait_ipv4) == 0
                            : memcmp(group->bytes, bait_ipv6, sizeof bait_ipv6) == 0;
}

/* From a source that nobody has. False: the interface refuses, and then there is no filter on it. */
static bool join_bait(int made, int family, uint32_t index) {
  struct group_source_req join = {.gsr_interface = index};
  if (family == AF_INET) {
    struct sockaddr_in group = {.sin_family = AF_INET};
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr = {htonl(0xc0000201)}};
    memcpy(&group.sin_addr, bait_ipv4, sizeof bait_ipv4);
    memcpy(&join.gsr_group, &group, sizeof group);
    memcpy(&join.gsr_source, &source, sizeof source);
  } else {
    struct sockaddr_in6 group = {.sin6_family = AF_INET6};
    struct sockaddr_in6 source = {.sin6_family = AF_INET6, .sin6_addr = {{{0x20, 1, 0x0d, 0xb8, [15] = 1}}}};
    memcpy(&group.sin6_addr, bait_ipv6, sizeof bait_ipv6);
    memcpy(&join.gsr_group, &group, sizeof group);
    memcpy(&join.gsr_source, &source, sizeof source);
  }
  return setsockopt(made, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, &join,
                    sizeof join) == 0;
}

static uint32_t baits_seen;

static void add_source(kernel_tables *tables, const kernel_source *row) {
  if (is_bait(&row->group)) {
    baits_seen++;
    return;
  }
  assert_in_range(tables->source_count, 0, KERNEL_SOURCES - 1);
  tables->sources[tables->source_count++] = *row;
}

/* "3 va : 2 V3" starts an interface, "  010007EF 1 0:00000000 0" below it is one of its groups. */
static void read_igmp(kernel_tables *tables) {
  char line[256];
  unsigned index = 0;
  FILE *file = open_table("igmp");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned group;
    unsigned users;
    if (line[0] != '\t' && line[0] != ' ') {
      index = 0;
      if (sscanf(line, "%u", &index) != 1) index = 0;
    } else if (sscanf(line, " %8x %u", &group, &users) == 2) {
      mctx_address address = ipv4(group);
      add_group(tables, index, &address, users);
    }
  }
  if (file != NULL) fclose(file);
}

static void read_igmp6(kernel_tables *tables) {
  char line[256];
  FILE *file = open_table("igmp6");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned index;
    unsigned users;
    char group[40];
    if (sscanf(line, "%u %*s %39s %u", &index, group, &users) != 3) continue;
    mctx_address address = ipv6(group);
    add_group(tables, index, &address, users);
  }
  if (file != NULL) fclose(file);
}

static void read_mcfilter(kernel_tables *tables) {
  char line[256];
  FILE *file = open_table("mcfilter");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    kernel_source row = {0};
    unsigned group;
    unsigned source;
    if (sscanf(line, "%u %*s 0x%8x 0x%8x %u %u", &row.interface_index, &group, &source, &row.includes,
               &row.excludes) != 5)
      continue;
    row.group = ipv4(htonl(group));
    row.source = ipv4(htonl(source));
    add_source(tables, &row);
  }
  if (file != NULL) fclose(file);
}

static void read_mcfilter6(kernel_tables *tables) {
  char line[256];
  FILE *file = open_table("mcfilter6");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    kernel_source row = {0};
    char group[40];
    char source[40];
    if (sscanf(line, "%u %*s %39s %39s %u %u", &row.interface_index, group, source, &row.includes,
               &row.excludes) != 5)
      continue;
    row.group = ipv6(group);
    row.source = ipv6(source);
    add_source(tables, &row);
  }
  if (file != NULL) fclose(file);
}

/* Returns how many sockets there are; `taken` is how many of them joined. */
static uint32_t lay_baits(int *sockets, uint32_t *taken) {
  uint32_t count = 0;
  *taken = 0;
  struct if_nameindex *interfaces = if_nameindex();
  assert_non_null(interfaces);
  for (const struct if_nameindex *each = interfaces; each->if_index != 0; each++)
    for (int i = 0; i < 2; i++) {
      int family = i == 0 ? AF_INET : AF_INET6;
      int made = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      if (made < 0) continue;
      assert_in_range(count, 0, BAITS - 1);
      sockets[count++] = made;
      *taken += join_bait(made, family, each->if_index);
    }
  if_freenameindex(interfaces);
  return count;
}

void kernel_groups_read(kernel_tables *tables) {
  tables->group_count = tables->source_count = 0;
  read_igmp(tables);
  read_igmp6(tables);
}

/* Whether every bait was seen: an interface that has just come up may have joined a group of its own meanwhile.
 */
static bool read_filters(kernel_tables *tables) {
  int baits[BAITS];
  uint32_t taken;
  uint32_t count = lay_baits(baits, &taken);
  baits_seen = tables->source_count = 0;
  read_mcfilter(tables);
  read_mcfilter6(tables);
  while (count > 0)
    close(baits[--count]);
  return baits_seen == taken;
}

void kernel_tables_read(kernel_tables *tables) {
  enum { TRIES = 100 };
  kernel_groups_read(tables);
  for (int tries = 0; tries < TRIES && !read_filters(tables); tries++)
    sleep_ms(1);
}

const kernel_group *kernel_group_find(const kernel_tables *tables, uint32_t interface_index,
                                      const mctx_address *group) {
  for (uint32_t i = 0; i < tables->group_count; i++)
    if (tables->groups[i].interface_index == interface_index && is_same(&tables->groups[i].group, group))
      return &tables->groups[i];
  return NULL;
}

const kernel_source *kernel_source_find(const kernel_tables *tables, uint32_t interface_index,
                                        const mctx_address *group, const mctx_address *source) {
  for (uint32_t i = 0; i < tables->source_count; i++)
    if (tables->sources[i].interface_index == interface_index && is_same(&tables->sources[i].group, group) &&
        is_same(&tables->sources[i].source, source))
      return &tables->sources[i];
  return NULL;
}
