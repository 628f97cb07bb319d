/* SPDX-License-Identifier: MIT */
/* Whatever a caller's options, address or reference hold, and whatever size they claim to be: an answer, never
 * undefined behaviour, and nothing held after a refusal. Runs on the simulated network. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mctx.h"
#include "mctx_sim.h"

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The table of handles stays once it is made. */
int LLVMFuzzerInitialize(int *count, char ***arguments) {
  (void)count;
  (void)arguments;
  mctx_context context;
  return mctx_context_open(NULL, &context, NULL) == MCTX_OK && mctx_close(context, NULL) == MCTX_OK ? 0 : 1;
}

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

/* Good options, with the bits flipped that the input says: reaches what a wrong size or family would hide. */
static uint8_t *flipped(const uint8_t *data, size_t size) {
  mctx_publication_options *options = calloc(1, sizeof *options);
  if (options == NULL) return NULL;
  mctx_publication_options_init(options, sizeof *options);
  if (mctx_address_parse("239.1.2.3:5000", &options->group, NULL) != MCTX_OK) __builtin_trap();
  uint8_t *bytes = (void *)options;
  for (size_t i = 0; i < size && i + sizeof options->size < sizeof *options; i++) {
    bytes[i + sizeof options->size] ^= data[i];
  }
  return bytes;
}

/* Pointers in the input would be nobody's: names are left out or set to a text. */
static void set_pointers(mctx_publication_options *options, uint32_t claim, uint8_t choice) {
  static const char name[] = "eth0";
  if (claim >= offsetof(mctx_publication_options, port)) {
    options->outgoing_interface.name = choice & 1 ? name : NULL;
  }
  if (claim >= offsetof(mctx_publication_options, socket)) {
    options->bind_device = choice & 2 ? name : NULL;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mctx_context context = 0;
  mctx_publication publication = 0;
  if (size == 0) return 0;
  uint8_t *bytes = data[0] & 4 ? flipped(data + 1, size - 1) : claimed(data + 1, size - 1);
  if (bytes == NULL) return 0;
  mctx_sim_reset();
  uint64_t sockets = mctx_sim_open_sockets(), blocks = mctx_sim_live_blocks();
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) __builtin_trap();

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
  if (mctx_sim_open_sockets() != sockets) __builtin_trap();
  if (mctx_close(context, NULL) != MCTX_OK) __builtin_trap();
  if (mctx_sim_live_blocks() != blocks) __builtin_trap();
  free(bytes);
  return 0;
}
