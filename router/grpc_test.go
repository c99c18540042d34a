package router

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// echo answers each message of a stream before it takes the next.
type echo struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (echo) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if err := grpc.SetTrailer(ctx, metadata.Pairs("x-after", "yes")); err != nil {
		return nil, err
	}
	if in.GetPayload() == nil {
		return nil, status.Error(codes.InvalidArgument, "nothing to say")
	}
	return &grpc_testing.SimpleResponse{Payload: in.Payload}, nil
}

func (echo) FullDuplexCall(s grpc.BidiStreamingServer[grpc_testing.StreamingOutputCallRequest, grpc_testing.StreamingOutputCallResponse]) error {
	for {
		in, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: in.Payload}); err != nil {
			return err
		}
	}
}

// TestGRPC calls a gRPC app through TLS, as its clients do.
func TestGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(server, echo{})
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(server.Stop)
	r := start(t, Options{}, CertOptions{})
	r.set(t, Route{Host: "g.example.com", Endpoints: []Endpoint{{Address: ln.Addr().String(), InstanceID: "i", Protocol: HTTP2}}})
	conn, err := grpc.NewClient("passthrough:///g.example.com:443",
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(r.roots, "")),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return r.dialContext(ctx, "tcp", addr) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := grpc_testing.NewTestServiceClient(conn)
	say := func(text string) *grpc_testing.Payload { return &grpc_testing.Payload{Body: []byte(text)} }

	var trailer metadata.MD
	out, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{Payload: say("hello")}, grpc.Trailer(&trailer))
	if err != nil || string(out.Payload.Body) != "hello" || len(trailer.Get("x-after")) != 1 {
		t.Errorf("call = %v, %v, trailer %v", out, err, trailer)
	}
	if _, err := client.UnaryCall(t.Context(), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a refused call = %v, want the app's status", err)
	}
	stream, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one", "two", "three"} { // each answer comes before the next question
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: say(word)}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || string(got.Payload.Body) != word {
			t.Fatalf("%s was answered with %v, %v", word, got, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}
