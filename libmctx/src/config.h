/* SPDX-License-Identifier: MIT */
/* What a publication was asked to be: checked, then resolved against the interfaces of this host. */
#ifndef MCTX_CONFIG_H
#define MCTX_CONFIG_H

#include "error.h"

enum { MCTX__INTERFACE_NAME = 1024 };

typedef struct mctx__config {
  uint64_t key; /* equal configurations have equal keys */
  uint32_t flags;
  mctx_address destination;     /* group and port; a scope id where the group's scope wants one */
  mctx_address source;          /* as asked, with its port; family 0: none */
  const char *source_field;     /* the option that said it: "source" or "bind" */
  mctx_address local;           /* what to bind; family 0: nothing */
  mctx_interface_ref interface; /* as asked; the name is a copy */
  uint32_t interface_index;     /* the interface now; 0: the routing table chooses */
  int32_t source_port;          /* MCTX_AUTO: the system chooses */
  int32_t hop_limit;
  int32_t loopback;
  int32_t dscp;
  int32_t connected;
  int32_t reuse_port;      /* resolved: 0, 1 */
  int32_t error_queue;     /* resolved: 0, 1 */
  bool error_queue_chosen; /* by the library */
  int32_t dont_fragment;
  int32_t priority;
  int64_t send_buffer;
  int64_t mark;
  int32_t offload;
  int32_t pacing_unit;
  int32_t pacing_by;        /* MCTX_AUTO: to be found out while opening */
  int64_t pacing_rate;      /* 0: none */
  int64_t pacing_burst;     /* resolved */
  bool pacing_burst_chosen; /* by the library */
  mctx_os_handle socket;    /* to adopt */
  char interface_name[MCTX__INTERFACE_NAME];
  char bind_device[64];
} mctx__config;

/* Whether the sender address was asked for, so that no other may take its place. */
static inline bool mctx__config_names_source(const mctx__config *config) {
  return config->source.family != 0 || config->interface.by == MCTX_INTERFACE_BY_ADDRESS;
}

/* Checks the options, looking at nothing but them. */
mctx_status mctx__config_read(const mctx__call *call, const mctx_publication_options *options,
                              mctx__config *config);
/* Looks the interface and the source up, and says what to bind and which scope to send to. */
mctx_status mctx__config_resolve(const mctx__call *call, mctx__config *config);
bool mctx__config_same(const mctx__config *a, const mctx__config *b);

#endif
