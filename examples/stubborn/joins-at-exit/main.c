#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t asked;
static pthread_t worker;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;

static void end(int signal) { asked = signal; }

static void join(void) { pthread_join(worker, NULL); }

static void *run(void *argument) {
    pthread_mutex_lock(&lock);
    for (;;)
        pthread_cond_wait(&work, &lock);
    return argument;
}

int main(void) {
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    pthread_create(&worker, NULL, run, NULL);
    atexit(join);
    FILE *file = fopen("target", "w");
    fprintf(file, "%d\n", getpid());
    fclose(file);
    fclose(fopen("ready", "w"));
    while (!asked)
        usleep(10000);
    return 0;
}
