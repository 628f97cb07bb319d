/* SPDX-License-Identifier: MIT */
/* Every public constant, by name. */
#include <string.h>

#include "error.h"

typedef struct constant {
  const char *name;
  int64_t value;
} constant;

#define CONSTANT(name) {#name, (int64_t)(name)},
#define SIZE_OF(type)  {"sizeof(" #type ")", (int64_t)sizeof(type)},

#define KIND_CONSTANT(NAME, number, name, text)    CONSTANT(MCTX_KIND_##NAME)
#define STATUS_CONSTANT(NAME, KIND, n, name, text) CONSTANT(MCTX_ERR_##NAME)

/* clang-format off */
static const constant constants[] = {
  CONSTANT(MCTX_ABI_VERSION)
  CONSTANT(MCTX_AUTO)
  CONSTANT(MCTX_KIND_NONE)
  MCTX_KIND_MAP(KIND_CONSTANT)
  CONSTANT(MCTX_OK)
  MCTX_STATUS_MAP(STATUS_CONSTANT)
  CONSTANT(MCTX_RETRY_NEVER)
  CONSTANT(MCTX_RETRY_WHEN_READY)
  CONSTANT(MCTX_RETRY_AFTER_DELAY)
  CONSTANT(MCTX_RETRY_AFTER_CHANGE)
  CONSTANT(MCTX_ERROR_DELIVERED_LOCALLY)
  CONSTANT(MCTX_HANDLE_NONE)
  CONSTANT(MCTX_HANDLE_CONTEXT)
  CONSTANT(MCTX_HANDLE_PUBLICATION)
  CONSTANT(MCTX_HANDLE_INTERFACE_LIST)
  CONSTANT(MCTX_CAPABILITY_IPV4)
  CONSTANT(MCTX_CAPABILITY_IPV6)
  CONSTANT(MCTX_CAPABILITY_BATCH_SEND)
  CONSTANT(MCTX_CAPABILITY_ERROR_QUEUE)
  CONSTANT(MCTX_CAPABILITY_ISOLATED_SENDER)
  CONSTANT(MCTX_CAPABILITY_BIND_DEVICE)
  CONSTANT(MCTX_CAPABILITY_MARK)
  CONSTANT(MCTX_CAPABILITY_SEND_BUFFER_FORCE)
  CONSTANT(MCTX_CAPABILITY_FORK_DETECTION)
  CONSTANT(MCTX_CAPABILITY_SIMULATED)
  CONSTANT(MCTX_CAPABILITY_ABSENT)
  CONSTANT(MCTX_CAPABILITY_REFUSED)
  CONSTANT(MCTX_CAPABILITY_NEEDS_PRIVILEGE)
  CONSTANT(MCTX_CAPABILITY_AVAILABLE)
  CONSTANT(MCTX_OS_NONE)
  CONSTANT(MCTX_OS_DESCRIPTOR)
  CONSTANT(MCTX_OS_SOCKET)
  CONSTANT(MCTX_OS_EVENT)
  CONSTANT(MCTX_INTERFACE_ANY)
  CONSTANT(MCTX_INTERFACE_BY_INDEX)
  CONSTANT(MCTX_INTERFACE_BY_ADDRESS)
  CONSTANT(MCTX_INTERFACE_BY_NAME)
  CONSTANT(MCTX_INTERFACE_UP)
  CONSTANT(MCTX_INTERFACE_RUNNING)
  CONSTANT(MCTX_INTERFACE_LOOPBACK)
  CONSTANT(MCTX_INTERFACE_MULTICAST)
  CONSTANT(MCTX_INTERFACE_POINT_TO_POINT)
  CONSTANT(MCTX_INTERFACE_BROADCAST)
  CONSTANT(MCTX_INTERFACE_ENSLAVED)
  CONSTANT(MCTX_READABLE)
  CONSTANT(MCTX_WRITABLE)
  CONSTANT(MCTX_INTERRUPTIBLE)
  CONSTANT(MCTX_EVENT_NONE)
  CONSTANT(MCTX_EVENT_SOURCE_GONE)
  CONSTANT(MCTX_EVENT_SOURCE_CHANGED)
  CONSTANT(MCTX_EVENT_OVERFLOW)
  CONSTANT(MCTX_PUBLICATION_DUPLICATE)
  CONSTANT(MCTX_PUBLICATION_ADOPTED)
  SIZE_OF(mctx_error)
  SIZE_OF(mctx_capability_info)
  SIZE_OF(mctx_address)
  SIZE_OF(mctx_os_handle)
  SIZE_OF(mctx_slice)
  SIZE_OF(mctx_interface_ref)
  SIZE_OF(mctx_interface_info)
  SIZE_OF(mctx_event)
  SIZE_OF(mctx_context_options)
  SIZE_OF(mctx_publication_options)
  SIZE_OF(mctx_publication_info)
  SIZE_OF(mctx_send_outcome)
};
/* clang-format on */

enum { CONSTANT_COUNT = sizeof constants / sizeof constants[0] };

const char *mctx_constant_name(uint32_t position) {
  return position < CONSTANT_COUNT ? constants[position].name : NULL;
}

mctx_status mctx_constant(const char *name, int64_t *value, mctx_error *error) {
  const mctx__call call = {__func__, 0, error};
  if (value != NULL) *value = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (name == NULL || value == NULL)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = name == NULL ? "name" : "value");
  for (uint32_t i = 0; i < CONSTANT_COUNT; i++) {
    if (strcmp(constants[i].name, name) == 0) {
      *value = constants[i].value;
      return MCTX_OK;
    }
  }
  return MCTX__FAIL(&call, MCTX_ERR_NOT_FOUND, .field = "name",
                    .hint = "mctx_constant_name() tells the constants that this version knows");
}
