module adieu.example/server

go 1.19
