/* SPDX-License-Identifier: MIT */
/* What the transcript shows of a result: fields.json says which fields differ from run to run. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static yyjson_doc *fields;

static const char *const class_names[FIELD_CLASSES] = {"",      "handle",   "peer",  "port", "source_port",
                                                       "index", "volatile", "hidden"};

bool fields_load(const char *path) {
  fields = yyjson_read_file(path, 0, NULL, NULL);
  return fields != NULL;
}

void fields_unload(void) {
  yyjson_doc_free(fields);
}

field_class field_class_of(const char *path) {
  json *root = yyjson_doc_get_root(fields);
  for (int class = FIELD_HANDLE; class < FIELD_CLASSES; class ++) {
    size_t position, count;
    json *item;
    yyjson_arr_foreach(yyjson_obj_get(root, class_names[class]), position, count, item) {
      if (strcmp(yyjson_get_str(item), path) == 0) return (field_class) class;
    }
  }
  return FIELD_EXACT;
}

static const char *variable_holding(run *r, field_class class, const char *content) {
  for (unsigned i = 0; i < r->variable_count; i++) {
    if (r->variables[i].class != class) continue;
    text held = {0};
    canonical(r->variables[i].content, &held);
    bool same = strcmp(text_get(&held), content) == 0;
    text_free(&held);
    if (same) return r->variables[i].name;
  }
  return NULL;
}

static value *show_handle(run *r, document *doc, value *from) {
  uint64_t handle = strtoull(yyjson_mut_is_str(from) ? yyjson_mut_get_str(from) : "0", NULL, 10);
  if (handle == 0) return yyjson_mut_str(doc, "0");
  for (unsigned i = 0; i < r->numbered_count; i++) {
    if (r->numbered[i] != handle) continue;
    char name[16];
    snprintf(name, sizeof name, "#%u", i + 1);
    return yyjson_mut_strcpy(doc, name);
  }
  return yyjson_mut_str(doc, "#?");
}

/* A number that differs from run to run: 0, the variable that holds it, or its sign. */
static value *show_volatile(run *r, document *doc, value *from, field_class class) {
  if (yyjson_mut_is_null(from)) return yyjson_mut_null(doc);
  text content = {0};
  canonical(from, &content);
  const char *digits = text_get(&content) + (yyjson_mut_is_str(from) ? 1 : 0);
  const char *name = class == FIELD_VOLATILE ? NULL : variable_holding(r, class, text_get(&content));
  value *shown;
  if (name != NULL) {
    char reference[80];
    snprintf(reference, sizeof reference, "${%s}", name);
    shown = yyjson_mut_strcpy(doc, reference);
  } else {
    shown = yyjson_mut_str(doc, digits[0] == '-' ? "-" : strtoull(digits, NULL, 10) == 0 ? "0" : "+");
  }
  text_free(&content);
  return shown;
}

value *transcript_value(run *r, document *doc, value *from, const char *path) {
  if (yyjson_mut_is_arr(from)) {
    value *list = yyjson_mut_arr(doc);
    size_t position, count;
    value *item;
    yyjson_mut_arr_foreach(from, position, count, item) {
      yyjson_mut_arr_append(list, transcript_value(r, doc, item, path));
    }
    return list;
  }
  if (yyjson_mut_is_obj(from)) {
    value *object = yyjson_mut_obj(doc);
    size_t position, count;
    value *key, *item;
    yyjson_mut_obj_foreach(from, position, count, key, item) {
      char below[160];
      snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "." : "", yyjson_mut_get_str(key));
      if (field_class_of(below) == FIELD_HIDDEN) continue;
      yyjson_mut_obj_add(object, yyjson_mut_strcpy(doc, yyjson_mut_get_str(key)),
                         transcript_value(r, doc, item, below));
    }
    return object;
  }
  field_class class = field_class_of(path);
  if (class == FIELD_EXACT) return yyjson_mut_val_mut_copy(doc, from);
  return class == FIELD_HANDLE ? show_handle(r, doc, from) : show_volatile(r, doc, from, class);
}
