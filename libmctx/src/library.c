/* SPDX-License-Identifier: MIT */
/* What the library says of itself. */
#include "options.h"

#ifndef MCTX_VERSION_STRING
#error "the build passes MCTX_VERSION_STRING, from the file VERSION"
#endif

const char *mctx_version(void) {
  return MCTX_VERSION_STRING;
}

uint32_t mctx_abi_version(void) {
  return MCTX_ABI_VERSION;
}

static const char *const capability_names[] = {
    "ipv4",        "ipv6",          "batch_send",        "error_queue",          "isolated_sender",
    "bind_device", "mark",          "send_buffer_force", "fork_detection",       "simulated",
    "coalescing",  "group_binding", "interface_changes", "receive_buffer_force", "segmentation",
    "pacing",
};

enum { CAPABILITY_COUNT = sizeof capability_names / sizeof capability_names[0] };

const char *mctx_capability_name(uint32_t id) {
  return id < CAPABILITY_COUNT ? capability_names[id] : NULL;
}

mctx_status mctx_capability(uint32_t id, mctx_capability_info *info, mctx_error *error) {
  const mctx__call call = {__func__, 0, error};
  mctx_capability_info own = {0};
  mctx__struct_clear(info);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__struct_check(&call, info, "info");
  if (status != MCTX_OK) return status;
  if (id >= CAPABILITY_COUNT)
    return MCTX__FAIL(&call, MCTX_ERR_NOT_FOUND, .field = "id", .value = id, .limit = CAPABILITY_COUNT - 1,
                      .hint = "mctx_capability_name() tells the capabilities that this version knows");
  mctx__capability_probe(id, &own);
  mctx__struct_write(info, &own, sizeof own);
  return MCTX_OK;
}
