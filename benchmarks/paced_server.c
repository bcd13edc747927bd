/*
 * A server whose latencies are known: the truth against which load generators are measured.
 *
 * It speaks enough of OpenAI's chat API for every client: one thread, epoll, one timerfd, an absolute schedule for each
 * stream (a late token does not push the next one back) and one send() per chunk. It stamps its own sends and answers
 * GET /truth with what it really did, so that a client is never blamed for the server's lateness.
 *
 *   cc -O2 -o paced_server paced_server.c
 *   ./paced_server --port 0 --ttft-ms 50 --itl-ms 10 [--per-chunk K] [--role-at-arrival] [--no-role] [--unpaced]
 *
 * The port is printed on the first line. The answer's length is the request's max_tokens. GET /reset forgets the truth.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOST 65536       /* descriptors */
#define LONGEST (1 << 20) /* bytes of a request */

typedef struct {
    int open, streaming, role, slot; /* slot: place in the heap, -1 for none */
    int plain;                       /* completions, not chat */
    int total, sent;                 /* tokens */
    int prompt;
    int64_t arrived, first, last, next; /* ns */
    char *in;
    size_t have, room;
    char *out; /* what the socket did not take at once */
    size_t held, space;
} Stream;

static Stream streams[MOST];
static int heap[MOST], heaped;
static int poller, timer;
static int64_t ttft = 50000000, itl = 10000000;
static int per_chunk = 1, role_at_arrival, with_role = 1, unpaced;

static double *ttfts, *tpots, *lates, *ends;
static size_t answered, truths_room, lates_have, lates_room;
static int64_t first_arrival, last_end;
static long chunks;
static int active, most_active;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The heap of streams that wait, soonest first. */
static void place(int at, int fd) { heap[at] = fd; streams[fd].slot = at; }
static void up(int at) {
    int fd = heap[at];
    while (at && streams[heap[(at - 1) / 2]].next > streams[fd].next) { place(at, heap[(at - 1) / 2]); at = (at - 1) / 2; }
    place(at, fd);
}
static void down(int at) {
    int fd = heap[at];
    for (;;) {
        int child = 2 * at + 1;
        if (child >= heaped) break;
        if (child + 1 < heaped && streams[heap[child + 1]].next < streams[heap[child]].next) child++;
        if (streams[heap[child]].next >= streams[fd].next) break;
        place(at, heap[child]);
        at = child;
    }
    place(at, fd);
}
static void wait_for(int fd) { heap[heaped] = fd; streams[fd].slot = heaped; up(heaped++); }
static void forget(int fd) {
    int at = streams[fd].slot;
    if (at < 0) return;
    streams[fd].slot = -1;
    if (at == --heaped) return;
    place(at, heap[heaped]);
    up(at);
    down(streams[heap[at]].slot);
}

static void drop(int fd) {
    Stream *s = &streams[fd];
    if (!s->open) return;
    forget(fd);
    if (s->streaming) active--;
    s->open = s->streaming = 0;
    s->have = s->held = 0;
    close(fd);
}

static void write_all(int fd, const char *data, size_t size) {
    Stream *s = &streams[fd];
    if (!s->held) {
        ssize_t put = send(fd, data, size, MSG_NOSIGNAL);
        if (put == (ssize_t)size) return;
        if (put < 0) { if (errno != EAGAIN) return; put = 0; }
        data += put;
        size -= put;
    }
    if (s->held + size > s->space) s->out = realloc(s->out, s->space = (s->held + size) * 2);
    memcpy(s->out + s->held, data, size);
    s->held += size;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &e);
}

static void event(char *into, size_t *size, const char *text) {
    size_t length = strlen(text) + 8;
    *size += sprintf(into + *size, "%zx\r\ndata: %s\n\n\r\n", length, text);
}

static const char *ROLE =
    "{\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
    "\"model\":\"paced\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
    "\"logprobs\":null,\"finish_reason\":null}]}";
static const char *HEAD =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";

static void note(int fd, int64_t now) {
    Stream *s = &streams[fd];
    if (answered == truths_room) {
        truths_room = truths_room ? truths_room * 2 : 4096;
        ttfts = realloc(ttfts, truths_room * sizeof *ttfts);
        tpots = realloc(tpots, truths_room * sizeof *tpots);
        ends = realloc(ends, truths_room * sizeof *ends);
    }
    int later = s->total - (s->total < per_chunk ? s->total : per_chunk);
    ttfts[answered] = (s->first - s->arrived) / 1e6;
    tpots[answered] = later ? (s->last - s->first) / 1e6 / later : 0;
    ends[answered] = now / 1e9;
    answered++;
    last_end = now;
}

/* The next chunk of a stream; after the last one its finish, usage and [DONE]. */
static void speak(int fd) {
    static char out[1 << 16];
    Stream *s = &streams[fd];
    size_t size = 0;
    int64_t now = now_ns();
    if (!s->role) {
        s->role = 1;
        size += sprintf(out, "%s", HEAD);
        if (with_role && !s->plain) event(out, &size, ROLE);
        if (role_at_arrival) { write_all(fd, out, size); wait_for(fd); return; }
    }
    char text[1024];
    int n = s->total - s->sent < per_chunk ? s->total - s->sent : per_chunk;
    size_t at = sprintf(text,
        "{\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":\"%s\",\"created\":1790000000,"
        "\"model\":\"paced\",\"choices\":[{\"index\":0,%s",
        s->plain ? "text_completion" : "chat.completion.chunk", s->plain ? "\"text\":\"" : "\"delta\":{\"content\":\"");
    for (int i = 0; i < n && at < 800; i++) at += sprintf(text + at, " token");
    sprintf(text + at, "%s,\"logprobs\":null,\"finish_reason\":null}]}", s->plain ? "\"" : "\"}");
    event(out, &size, text);
    s->sent += n;
    if (lates_have == lates_room) lates = realloc(lates, (lates_room = lates_room ? lates_room * 2 : 65536) * sizeof *lates);
    lates[lates_have++] = unpaced ? 0 : (now - s->next) / 1e6;
    chunks++;
    if (!s->first) s->first = now;
    s->last = now;
    if (s->sent < s->total) {
        write_all(fd, out, size);
        s->next += unpaced ? 0 : itl * n;
        wait_for(fd);
        return;
    }
    event(out, &size,
        "{\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
        "\"model\":\"paced\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]}");
    sprintf(text,
        "{\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"
        "\"model\":\"paced\",\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}}",
        s->prompt, s->total, s->prompt + s->total);
    event(out, &size, text);
    event(out, &size, "[DONE]");
    size += sprintf(out + size, "0\r\n\r\n");
    s->streaming = 0;
    active--;
    write_all(fd, out, size);
    note(fd, now);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double mean(const double *v, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return n ? sum / n : 0;
}
static double p99(double *v, size_t n) {
    qsort(v, n, sizeof *v, ascending);
    return n ? v[(size_t)(0.99 * n)] : 0;
}

/* Answers a second between the first tenth of them and the last: free of a client's trial request and of its last stragglers. */
static double steady(void) {
    size_t from = answered / 10, to = answered - 1 - answered / 10;
    return answered > 20 && ends[to] > ends[from] ? (to - from) / (ends[to] - ends[from]) : 0;
}

static void answer_json(int fd, const char *body) {
    char out[2048];
    int size = snprintf(out, sizeof out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    write_all(fd, out, size);
}

static long number_after(const char *body, const char *key, long otherwise) {
    const char *found = strstr(body, key);
    if (!found) return otherwise;
    found += strlen(key);
    while (*found == ' ' || *found == ':') found++;
    return strtol(found, NULL, 10);
}

static void request(int fd, const char *head, const char *body) {
    Stream *s = &streams[fd];
    char out[1024];
    if (!strncmp(head, "GET /truth", 10)) {
        double first = mean(ttfts, answered), pace = mean(tpots, answered), late = mean(lates, lates_have);
        snprintf(out, sizeof out,
            "{\"requests\":%zu,\"chunks\":%ld,\"ttft_ms\":%.4f,\"ttft_p99_ms\":%.4f,\"tpot_ms\":%.5f,"
            "\"late_ms\":%.4f,\"late_p99_ms\":%.4f,\"first_ns\":%lld,\"last_ns\":%lld,\"active\":%d,\"most_active\":%d,"
            "\"answers_per_s\":%.2f}",
            answered, chunks, first, p99(ttfts, answered), pace, late, p99(lates, lates_have),
            (long long)first_arrival, (long long)last_end, active, most_active, steady());
        answer_json(fd, out);
    } else if (!strncmp(head, "GET /reset", 10)) {
        answered = lates_have = 0;
        chunks = most_active = 0;
        first_arrival = last_end = 0;
        answer_json(fd, "{}");
    } else if (!strncmp(head, "GET", 3)) {
        answer_json(fd, "{\"object\":\"list\",\"data\":[{\"id\":\"paced\",\"object\":\"model\",\"max_model_len\":131072}]}");
    } else {
        s->total = number_after(body, "\"max_tokens\"", 0);
        if (!s->total) s->total = number_after(body, "\"max_completion_tokens\"", 16);
        s->plain = !strncmp(head, "POST /v1/completions", 20);
        s->prompt = 1; /* one token a word, none for a template */
        const char *content = strstr(body, s->plain ? "\"prompt\"" : "\"content\"");
        for (const char *c = content ? content + 12 : ""; *c && *c != '"'; c++) s->prompt += *c == ' ';
        const char *stream = strstr(body, "\"stream\"");
        if (!stream || strncmp(stream + 8 + strspn(stream + 8, ": "), "true", 4)) {
            snprintf(out, sizeof out,
                "{\"model\":\"paced\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\" token\"},"
                "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":1}}", s->prompt);
            answer_json(fd, out);
            return;
        }
        s->arrived = now_ns();
        if (!first_arrival) first_arrival = s->arrived;
        s->next = s->arrived + (unpaced ? 0 : ttft);
        s->first = s->last = 0;
        s->sent = s->role = 0;
        s->streaming = 1;
        if (++active > most_active) most_active = active;
        if (role_at_arrival || unpaced) speak(fd); else wait_for(fd);
    }
}

static void hear(int fd) {
    Stream *s = &streams[fd];
    for (;;) {
        if (s->have + 65536 > s->room) s->in = realloc(s->in, s->room = s->have + 131072);
        ssize_t got = recv(fd, s->in + s->have, s->room - s->have - 1, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) { drop(fd); return; }
        if (got < 0) break;
        s->have += got;
        if (s->have > LONGEST) { drop(fd); return; }
    }
    while (s->open && s->have) {
        s->in[s->have] = 0;
        char *end = strstr(s->in, "\r\n\r\n");
        if (!end) return;
        char *found = strcasestr(s->in, "content-length:");
        size_t length = found && found < end ? strtoul(found + 15, NULL, 10) : 0;
        size_t whole = end + 4 - s->in + length;
        if (s->have < whole) return;
        char saved = s->in[whole];
        s->in[whole] = 0;
        request(fd, s->in, end + 4);
        s->in[whole] = saved;
        memmove(s->in, s->in + whole, s->have -= whole);
    }
}

static void welcome(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (fd >= MOST) { close(fd); continue; }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        streams[fd].open = 1;
        streams[fd].slot = -1;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

static void push(int fd) {
    Stream *s = &streams[fd];
    ssize_t put = send(fd, s->out, s->held, MSG_NOSIGNAL);
    if (put > 0) memmove(s->out, s->out + put, s->held -= put);
    if (s->held) return;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &e);
}

int main(int argc, char **argv) {
    int port = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (!strcmp(argv[i], "--port")) port = atoi(value), i++;
        else if (!strcmp(argv[i], "--ttft-ms")) ttft = atof(value) * 1e6, i++;
        else if (!strcmp(argv[i], "--itl-ms")) itl = atof(value) * 1e6, i++;
        else if (!strcmp(argv[i], "--per-chunk")) per_chunk = atoi(value), i++;
        else if (!strcmp(argv[i], "--role-at-arrival")) role_at_arrival = 1;
        else if (!strcmp(argv[i], "--no-role")) with_role = 0;
        else if (!strcmp(argv[i], "--unpaced")) unpaced = 1;
        else { fprintf(stderr, "unknown option %s\n", argv[i]); return 2; }
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (void *)&address, size) || listen(listener, 4096)) { perror("listen"); return 1; }
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    e.data.fd = timer;
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &e);
    for (;;) {
        int64_t soonest = heaped ? streams[heap[0]].next : 0;
        struct itimerspec at = {.it_value = {soonest / 1000000000LL, soonest % 1000000000LL}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        int some = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < some; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) welcome(fd);
            else if (fd == timer) { uint64_t fired; if (read(timer, &fired, sizeof fired) < 0) continue; }
            else {
                if (events[i].events & EPOLLOUT) push(fd);
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) hear(fd);
            }
        }
        /* what is due, at most 64 sends between two looks at the network */
        int64_t now = now_ns();
        for (int sends = 0; heaped && sends < 64 && streams[heap[0]].next <= now; sends++) {
            int fd = heap[0];
            if (streams[fd].held) { streams[fd].next = now + 1000000; down(0); continue; }
            forget(fd);
            speak(fd);
        }
    }
}
