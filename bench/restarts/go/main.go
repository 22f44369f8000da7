// As ../src/serve.rs, with Go's net/http and http.Server.Shutdown: main PORT. Needs Go 1.24 (HTTP/2 without TLS).
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func slow(w http.ResponseWriter, _ *http.Request) {
	for _, part := range []string{"wait\n", "wait\n", "wait\n", "wait\n", "wait\n", "done\n"} {
		time.Sleep(50 * time.Millisecond)
		io.WriteString(w, part)
		w.(http.Flusher).Flush()
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fmt.Fprintf(w, "got %d\n", len(body))
}

func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for number := 0; ; number++ {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
			fmt.Fprintf(w, "data: event %d\n\n", number)
			w.(http.Flusher).Flush()
		}
	}
}

// The standard library has no WebSockets: as much of them as an echo of short messages needs.
func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	connection, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer connection.Close()
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	for buffered.Flush() == nil {
		opcode, message, err := frame(buffered.Reader)
		if err != nil {
			return
		}
		// Text is echoed, and so is a farewell.
		buffered.Write([]byte{0x80 | opcode, byte(len(message))})
		buffered.Write(message)
		if opcode == 8 {
			buffered.Flush()
			return
		}
	}
}

// A masked frame of at most 125 bytes, which the clients send.
func frame(from *bufio.Reader) (byte, []byte, error) {
	head := make([]byte, 6)
	if _, err := io.ReadFull(from, head); err != nil {
		return 0, nil, err
	}
	message := make([]byte, head[1]&0x7f)
	_, err := io.ReadFull(from, message)
	for i := range message {
		message[i] ^= head[2+i%4]
	}
	return head[0] & 0x0f, message, err
}

func main() {
	http.HandleFunc("/quick", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here\n") })
	http.HandleFunc("/slow", slow)
	http.HandleFunc("/upload", upload)
	http.HandleFunc("/events", events)
	http.HandleFunc("/echo", echo)
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		<-term
		server.Shutdown(context.Background())
		close(done)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		panic(err)
	}
	<-done
}
