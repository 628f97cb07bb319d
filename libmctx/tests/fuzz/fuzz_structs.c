/* SPDX-License-Identifier: MIT */
/* Whatever a caller's options, address or reference hold, and whatever size they claim to be: an answer, never
 * undefined behaviour, and nothing held after a refusal. Runs on the simulated network. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mctx.h"
#include "mctx_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of the input of exactly as many bytes as it claims, so that reading past them is found. */
static uint8_t *claimed(const uint8_t *data, size_t size) {
  uint32_t claim = 0;
  if (size < sizeof claim) return NULL;
  memcpy(&claim, data, sizeof claim);
  if (claim > 4096) return NULL;
  size_t room = claim < sizeof claim ? sizeof claim : claim;
  uint8_t *bytes = calloc(1, room);
  if (bytes != NULL) memcpy(bytes, data, size < room ? size : room);
  return bytes;
}

/* Pointers in the input would be nobody's: names are left out or set to a text. */
static void set_pointers(mctx_publication_options *options, uint32_t claim, uint8_t choice) {
  static const char name[] = "eth0";
  if (claim >= offsetof(mctx_publication_options, port)) {
    options->outgoing_interface.name_slot = 0;
    if (choice & 1) options->outgoing_interface.name = name;
  }
  if (claim >= offsetof(mctx_publication_options, socket)) {
    options->bind_device_slot = 0;
    if (choice & 2) options->bind_device = name;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mctx_context context = 0;
  mctx_publication publication = 0;
  uint8_t *bytes = size > 1 ? claimed(data + 1, size - 1) : NULL;
  if (bytes == NULL) return 0;
  mctx_sim_reset();
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) __builtin_trap();
  uint64_t sockets = mctx_sim_open_sockets(), blocks = mctx_sim_live_blocks();

  mctx_publication_options *options = (void *)bytes;
  mctx_error error;
  mctx_error_init(&error, sizeof error);
  set_pointers(options, options->size, data[0]);
  mctx_status status = mctx_publication_open(context, options, &publication, &error);
  if (status > 0 || (status != MCTX_OK) == (publication != 0)) __builtin_trap();
  if (status != MCTX_OK && (error.status != status || error.message[0] == '\0')) __builtin_trap();
  if (status == MCTX_OK) {
    status = mctx_send(publication, data, size < 1000 ? size : 1000, &error);
    if (status > 0) __builtin_trap();
    if (mctx_close(publication, NULL) != MCTX_OK) __builtin_trap();
  }
  if (mctx_sim_open_sockets() != sockets || mctx_sim_live_blocks() != blocks) __builtin_trap();
  if (mctx_close(context, NULL) != MCTX_OK) __builtin_trap();
  free(bytes);
  return 0;
}
