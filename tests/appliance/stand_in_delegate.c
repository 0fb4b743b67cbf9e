/* NOT libedgetpu: a stand-in with the same interface, TensorFlow Lite's external delegate, for tests of those who load
 * it. It takes the operations "edgetpu-custom-op" as libedgetpu does, and computes on the CPU: the middle of the input
 * with all bits inverted, channels after the third 0.
 *
 * It has $STAND_IN_STICKS devices on USB, one by default. The option "device" is read as in libedgetpu: nothing, "usb",
 * "usb:N" or ":N"; with any other, or a number too high, there is no device to open.
 *
 * $STAND_IN_EDGETPU sets what it does: run (the default), fail (there is no device to open), newer (the segment needs a
 * newer runtime), segfault, abort, hang (all in the first run), gone (an error in the first run), abort:N (in the Nth
 * run), pulled:FILE (abort in the first run without that file, as libedgetpu does when a stick is pulled).
 * $STAND_IN_RUNTIME is the version of the runtime, 14 by default. $STAND_IN_LOG gets a line for each opened device: the
 * process and the option "device".
 *
 * The structures are the first members of those in TensorFlow's tensorflow/lite/c/common.h, the same in 2.5 to LiteRT 2.3.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct {
    int type; uint8_t *data; IntArray *dims; struct { float scale; int32_t zero_point; } params; int allocation_type;
    size_t bytes; const void *allocation; const char *name; void *delegate; int buffer_handle; _Bool stale, variable;
    struct { int type; void *params; } quantization; void *sparsity; const IntArray *signature;
} Tensor;
typedef struct { IntArray *inputs, *outputs; } Node;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *later[4];
} Registration;
struct Context {
    size_t tensors_size;
    int (*plan)(Context *, IntArray **);
    Tensor *tensors;
    void *impl;
    int (*resize)(Context *, Tensor *, IntArray *);
    void (*report)(Context *, const char *, ...);
    int (*add)(Context *, int, int *);
    int (*node)(Context *, int, Node **, Registration **);
    int (*replace)(Context *, Registration, const IntArray *, Delegate *);
};
struct Delegate {
    void *data;
    int (*prepare)(Context *, Delegate *);
    void *from_handle, *to_handle, *free_handle;
    int64_t flags;
    void *later[2];
};

static const char *behaviour(void) {
    const char *text = getenv("STAND_IN_EDGETPU");
    return text ? text : "run";
}

static int is(const char *text) { return strcmp(behaviour(), text) == 0; }

static int prepare(Context *context, Node *node) {
    (void)node;
    if (!is("newer")) return 0;
    context->report(context, "Failed to prepare for TPU. Failed precondition: Package requires runtime version (15), "
                             "which is newer than this runtime version (14).");
    return 1;
}

static int invoke(Context *context, Node *node) {
    static int runs;
    runs++;
    if (is("segfault")) raise(SIGSEGV);
    if (is("abort") || (!strncmp(behaviour(), "abort:", 6) && runs == atoi(behaviour() + 6))) abort();
    if (!strncmp(behaviour(), "pulled:", 7) && access(behaviour() + 7, F_OK)) {
        fputs("HandleQueuedBulkIn transfer in failed. Not found: USB transfer error 5\n", stderr);
        abort();
    }
    while (is("hang")) pause();
    if (is("gone")) {
        context->report(context, "Failed to execute request. Deadline exceeded: USB transfer error 5");
        return 1;
    }
    Tensor *in = &context->tensors[node->inputs->data[0]], *out = &context->tensors[node->outputs->data[0]];
    int high = out->dims->data[1], wide = out->dims->data[2], deep = out->dims->data[3];
    int top = (in->dims->data[1] - high) / 2, left = (in->dims->data[2] - wide) / 2;
    for (int y = 0; y < high; y++)
        for (int x = 0; x < wide; x++)
            for (int c = 0; c < deep; c++)
                out->data[(y * wide + x) * deep + c] =
                    c < 3 ? ~in->data[((y + top) * in->dims->data[2] + x + left) * in->dims->data[3] + c] : 0;
    return 0;
}

static int take(Context *context, Delegate *delegate) {
    static IntArray *one;
    IntArray *plan;
    if (context->plan(context, &plan)) return 1;
    int nodes[16], count = 0;
    for (int i = 0; i < plan->size && count < 16; i++) {
        Node *node;
        Registration *registration;
        if (context->node(context, plan->data[i], &node, &registration)) return 1;
        if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
            nodes[count++] = plan->data[i];
    }
    Registration mine = {.prepare = prepare, .invoke = invoke, .custom_name = "StandInDelegate", .version = 1};
    if (!one) one = malloc(sizeof(IntArray) + sizeof(int));
    one->size = 1;
    for (int i = 0; i < count; i++) {
        one->data[0] = nodes[i];
        if (context->replace(context, mine, one, delegate)) return 1;
    }
    return 0;
}

static int is_there(const char *device) {
    const char *sticks = getenv("STAND_IN_STICKS");
    char *end;
    if (!strncmp(device, "usb", 3)) device += 3;
    if (!*device) return 1;
    if (*device != ':') return 0;
    long number = strtol(device + 1, &end, 10);
    return end > device + 1 && !*end && number >= 0 && number < (sticks ? atoi(sticks) : 1);
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    (void)report; /* libedgetpu does not say why either */
    const char *path = getenv("STAND_IN_LOG"), *device = "";
    if (is("fail")) return NULL;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(keys[i], "device")) device = values[i];
    if (!is_there(device)) return NULL;
    if (path) {
        FILE *log = fopen(path, "a");
        fprintf(log, "%d %s\n", (int)getpid(), device);
        fclose(log);
    }
    Delegate *delegate = calloc(1, sizeof(Delegate));
    delegate->prepare = take;
    delegate->flags = 1; /* before tensors have sizes, as libedgetpu: they need the operation that it takes */
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }

const char *edgetpu_version(void) {
    static char text[80];
    const char *number = getenv("STAND_IN_RUNTIME");
    snprintf(text, sizeof text, "BuildLabel(STAND-IN), RuntimeVersion(%s)", number ? number : "14");
    return text;
}
