# frozen_string_literal: true

# A Rack application: puma --config puma.rb config.ru
run lambda { |_env|
  sleep rand * 0.05
  body = "hello from puma #{Process.pid}\n"
  [200, { 'content-type' => 'text/plain', 'content-length' => body.bytesize.to_s }, [body]]
}
