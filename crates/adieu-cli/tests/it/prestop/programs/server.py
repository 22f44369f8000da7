"""HTTP/1.1 on every address of both families; /SECONDS is answered after so long."""
import http.server, os, socket, time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        time.sleep(float(self.path[1:] or 0))
        self.send_response(200)
        self.send_header('Content-Length', '6')
        self.end_headers()
        self.wfile.write(b'hello\n')

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 128


Server(('::', int(os.environ['PORT'])), Handler).serve_forever()
