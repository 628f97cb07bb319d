/* SPDX-License-Identifier: MIT */
/*
 * The conformance runner in C. It knows the public header alone, and reads the same case files as every other
 * runner: see ../README.md.
 */
#ifndef CONFORMANCE_RUNNER_H
#define CONFORMANCE_RUNNER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "mctx.h"
#include "yyjson.h"

typedef yyjson_val json;         /* read from a file */
typedef yyjson_mut_val value;    /* made while running */
typedef yyjson_mut_doc document; /* owns values */

/* ---- text that grows ---- */

typedef struct text {
  char *data;
  size_t length;
  size_t capacity;
} text;

void text_add(text *to, const char *bytes, size_t length);
void text_print(text *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Back to a length that it had. */
void text_cut(text *to, size_t length);
void text_free(text *to);
/* Never NULL. */
const char *text_get(const text *of);

/* ---- what the results' fields are, for the transcript (fields.json) ---- */

typedef enum field_class {
  FIELD_EXACT,
  FIELD_HANDLE,
  FIELD_PEER,
  FIELD_PORT,
  FIELD_SOURCE_PORT,
  FIELD_INDEX,
  FIELD_VOLATILE,
  FIELD_HIDDEN,
  FIELD_CLASSES
} field_class;

bool fields_load(const char *path);
void fields_unload(void);
/* `path` is "result" or "result.member", without positions in arrays. */
field_class field_class_of(const char *path);

/* ---- a running case ---- */

#define MAX_VARIABLES 64
#define MAX_OPENED    256
#define MAX_PEERS     32
#define MAX_THREADS   8
#define MAX_BARRIERS  8

typedef struct variable {
  const char *name;
  value *content;
  field_class class;
} variable;

typedef struct peer {
  mctx_os_handle native;
  bool simulated;
  bool open;
} peer;

typedef struct barrier {
  const char *name;
  unsigned arrived;
  unsigned generation;
} barrier;

typedef struct opened {
  mctx_handle handle;
  uint32_t kind;
} opened;

struct strand;

typedef struct run {
  const char *name; /* theme/case */
  document *doc;    /* of the variables */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  variable variables[MAX_VARIABLES];
  unsigned variable_count;
  uint64_t numbered[MAX_VARIABLES]; /* the handle behind #1, #2, ... */
  unsigned numbered_count;
  opened opened[MAX_OPENED];
  unsigned opened_count;
  peer peers[MAX_PEERS];
  unsigned peer_count;
  barrier barriers[MAX_BARRIERS];
  unsigned barrier_count;
  struct strand *threads[MAX_THREADS];
  unsigned thread_count;
} run;

/* A thread of a case: the main one, or one that a step started. */
typedef struct strand {
  run *run;
  const char *name; /* NULL for the main one */
  json *steps;
  document *doc;
  text transcript;
  size_t step;        /* which is running, from 1 */
  char where[128];    /* what failed: "expect.accepted", "error.code", "call"; empty if nothing did */
  char because[1024]; /* for people */
  pthread_t thread;
  bool started;
} strand;

/* Runs steps until one fails. */
void strand_run(strand *s);
/* Records the first failure. */
void strand_fail(strand *s, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

typedef struct outcome {
  bool failed;
  size_t step;
  char where[128];
  char because[1024];
} outcome;

/* Runs a case and closes what it left open; adds its lines to the transcript. */
void case_run(const char *name, json *definition, text *transcript, outcome *result);

/* ---- one call ---- */

typedef struct call {
  strand *strand;
  run *run;
  document *doc;
  json *step;
  value *args; /* variables filled in */
  value *results;
  mctx_status status;
  mctx_error error;
  bool invalid; /* the step cannot be carried out as written */
} call;

typedef struct operation {
  const char *name;
  void (*run)(call *c);
} operation;

extern const operation library_operations[];
extern const operation interface_operations[];
extern const operation handle_operations[];
extern const operation publication_operations[];
extern const operation send_operations[];
extern const operation subscription_operations[];
extern const operation receive_operations[];
extern const operation peer_operations[];
extern const operation sim_operations[];
extern const operation flow_operations[];

/* Arguments. An absent one gives the default; one of the wrong type makes the call invalid. */
value *arg(call *c, const char *name);
uint64_t arg_u64(call *c, const char *name, uint64_t absent);
int64_t arg_i64(call *c, const char *name, int64_t absent);
const char *arg_text(call *c, const char *name);
/* One of `names`, ended by NULL: its position; or a number as it is. */
uint32_t arg_name(call *c, const char *name, const char *const *names, uint32_t absent);
/* A list of names out of `names`, as bits 1, 2, 4, ...; or a number as it is. */
uint32_t arg_bits(call *c, const char *name, const char *const *names);
/* A member of the argument `options`: as it is, and as a number, where "auto" is MCTX_AUTO. */
value *option(call *c, const char *name);
int64_t option_number(call *c, const char *name, int64_t absent);
/* Whether the step asks for a NULL pointer there. */
bool arg_null(call *c, const char *name);
void call_invalid(call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `pointer`, or NULL if the step asks for that. */
#define POINTER(c, name, pointer) (arg_null((c), (name)) ? NULL : (pointer))
/* The error record of the call, or NULL if the step asks for that. */
#define ERROR(c) POINTER(c, "error", &(c)->error)

/* Fills an out-parameter with rubbish before a call, and checks that a failure cleared it. */
void out_prepare(void *memory, size_t size);
void out_check(call *c, const void *memory, size_t size);

/* A struct of an option or answer is followed by this much that this library does not know. */
#define FUTURE_BYTES 64

/* Room for one. */
#define FUTURE(type)                  \
  struct {                            \
    type known;                       \
    unsigned char tail[FUTURE_BYTES]; \
  }

/* Sets what the argument `options` says of a struct's `size` and of the last byte of its `tail`. */
void read_size(call *c, uint32_t *size, size_t known, unsigned char *tail);
/* Fills a FUTURE struct with rubbish before a call answers in it; returns the size that the step asks for. */
uint32_t info_prepare(call *c, void *info, size_t known);
/* Shows what a successful call made of a struct's size and tail; returns whether the known part is whole. */
bool result_size(call *c, uint32_t size, size_t known, const unsigned char *tail);

/* A buffer for a name, with the capacity that the step asks for. */
typedef struct name_buffer {
  char text[1024];
  size_t capacity;
  size_t length;
} name_buffer;

void name_prepare(call *c, name_buffer *name);
void result_name(call *c, const name_buffer *name);

/* Values from and to JSON. */
int64_t value_i64(call *c, value *from);
mctx_address value_address(call *c, value *from);
mctx_interface_ref value_interface(call *c, value *from);
uint32_t value_name(call *c, value *from, const char *const *names);
uint32_t value_bits(call *c, value *from, const char *const *names);
/* A payload as written in a case; the caller frees data. */
mctx_slice value_payload(call *c, value *from);
/* A list of payloads; free with payloads_free. */
mctx_slice *value_payloads(call *c, value *from, size_t *count);
void payloads_free(mctx_slice *slices, size_t count);

value *make_address(document *doc, const mctx_address *address);
value *make_payload(document *doc, const void *data, size_t length);
value *make_bits(document *doc, uint64_t bits, const char *const *names);
value *make_u64(document *doc, uint64_t number);
value *make_i64(document *doc, int64_t number);
value *make_status(document *doc, mctx_status status);
/* A number of 32 bits, or "auto"; and one of 64 bits. */
value *make_setting(document *doc, int64_t number);
value *make_wide_setting(document *doc, int64_t number);
value *make_os_handle(document *doc, const mctx_os_handle *native);

void result(call *c, const char *name, value *content);
void result_u64(call *c, const char *name, uint64_t number); /* 64 bits: a string */
void result_int(call *c, const char *name, int64_t number);  /* 32 bits: a number */
void result_text(call *c, const char *name, const char *content);
/* Remembers a handle, so that it is closed at the end of the case. */
void result_handle(call *c, const char *name, mctx_handle handle, uint32_t kind);
uint32_t handle_kind(call *c, mctx_handle handle);

/* The first `capacity` of `count` addresses, and the count. */
void result_addresses(call *c, const char *name, const mctx_address *addresses, uint32_t capacity,
                      uint32_t count);

/* How many elements of results a runner has room for. */
#define MAX_LISTED 256
/* What the step asks for, at most that. */
uint32_t arg_capacity(call *c);

/* ---- JSON without a call ---- */

/* Copies `from` with ${name} filled in; NULL, with the name in `missing`, if there is no such variable. */
value *substitute(run *r, document *doc, json *from, const char **missing);
/* Whether `actual` is what was expected; the path to the difference goes to `where`. */
bool matches(document *doc, value *expected, value *actual, text *where);
/* Keys sorted, no blanks. */
void canonical(value *from, text *to);
/* A step's result as the transcript shows it. */
value *transcript_value(run *r, document *doc, value *from, const char *path);

bool variable_set(run *r, const char *name, value *content, field_class class);
value *variable_get(run *r, const char *name);

/* ---- the runner's own sockets and the simulated network ---- */

extern const char *const family_names[];
extern const char *const interface_flag_names[];
extern const char *const ready_names[];
extern const char *const wait_flag_names[];
extern const char *const metadata_names[];
extern const char *const handle_kind_names[];

bool sim_available(void);
void sim_case_begin(void);
uint64_t sim_held(void);
/* How often the library used what was not open. */
uint64_t sim_misuses(void);
/* A socket of the simulated network as peer. */
bool sim_socket(uint32_t family, const mctx_address *local, mctx_os_handle *native);
void sim_socket_close(const mctx_os_handle *native);
int64_t sim_socket_hash(const mctx_os_handle *native);

void peers_close(run *r);
peer *peer_find(call *c, const char *name);
/* The name of a new peer: "peer:1". */
value *peer_add(call *c, mctx_os_handle native, bool simulated);
/* Descriptors open in this process, or what the library holds of the simulated network, memory too. */
uint64_t resources_held(void);
uint32_t loopback_index(void);
const char *loopback_name(void);

/* ---- capabilities that cases require ---- */

/* NULL if it is there, else why not. */
const char *capability_missing(const char *name);

/* ---- reports ---- */

typedef struct report_entry {
  const char *name;
  const char *skipped; /* the reason, or NULL */
  outcome result;
} report_entry;

typedef struct report {
  report_entry *entries;
  size_t count;
  size_t passed;
  size_t failed;
  size_t skipped;
} report;

void report_write(const report *of, const char *format, FILE *to);

#endif
