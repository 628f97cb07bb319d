/* SPDX-License-Identifier: MIT */
/* The kernel's own tables of memberships and source filters, of this namespace. */
#ifndef MCTX_TESTS_KERNEL_H
#define MCTX_TESTS_KERNEL_H

#include "mctx.h"
#include "namespace.h"

enum { KERNEL_GROUPS = 4096, KERNEL_SOURCES = 2048 };

/* How many sockets joined a group on an interface. */
typedef struct kernel_group {
  uint32_t interface_index;
  uint32_t users;
  mctx_address group;
} kernel_group;

/* How many of them list a source. */
typedef struct kernel_source {
  uint32_t interface_index;
  uint32_t includes;
  uint32_t excludes;
  mctx_address group;
  mctx_address source;
} kernel_source;

typedef struct kernel_tables {
  uint32_t group_count;
  uint32_t source_count;
  kernel_group groups[KERNEL_GROUPS];
  kernel_source sources[KERNEL_SOURCES];
} kernel_tables;

/* igmp, igmp6, mcfilter and mcfilter6, without what every interface has joined by itself. */
void kernel_tables_read(kernel_tables *tables);
/* igmp and igmp6 alone. Reading filters joins something for a moment, and what is joined on an interface that
 * is down makes the kernel forget the filters of others there. */
void kernel_groups_read(kernel_tables *tables);
const kernel_group *kernel_group_find(const kernel_tables *tables, uint32_t interface_index,
                                      const mctx_address *group);
const kernel_source *kernel_source_find(const kernel_tables *tables, uint32_t interface_index,
                                        const mctx_address *group, const mctx_address *source);

#endif
