module example.com/binary-sample

go 1.24
