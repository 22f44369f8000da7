#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *text) {
    pthread_mutex_lock(&log_lock);
    fputs(text, stderr);
    pause();
    pthread_mutex_unlock(&log_lock);
}

static void leave(int signal) {
    say("bye\n");
    _exit(signal);
}

int main(void) {
    signal(SIGTERM, leave);
    FILE *target = fopen("target", "w");
    fprintf(target, "%d", getpid());
    fclose(target);
    close(creat("ready", 0644));
    say("at work\n");
}
