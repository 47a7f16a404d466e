/* What a C file shares with its Python binding: sizes and offsets of structs, and constants.
 *
 * Each kernel exports a list of them, `<kernel>_shared`. `bind` in loader.py compares it with what
 * Python says, so that a change of one side alone is refused and never reads the wrong memory.
 */
#ifndef SHARED_H
#define SHARED_H

#include <stddef.h>
#include <stdint.h>

typedef struct { const char *name; int64_t value; } Shared;

#define SHARED_STRUCT(type) {#type, sizeof(type)}
#define SHARED_FIELD(type, field) {#type "." #field, offsetof(type, field)}
#define SHARED_CONSTANT(name) {#name, name}
#define SHARED_END {0, 0}

#endif
