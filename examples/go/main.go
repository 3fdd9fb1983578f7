// Follows channels over gRPC. Build with protoc, protoc-gen-go and protoc-gen-go-grpc:
//
//	protoc -I proto --go_out=examples/go --go_opt=Mpgfan/v1/pgfan.proto=./pgfan \
//	    --go-grpc_out=examples/go --go-grpc_opt=Mpgfan/v1/pgfan.proto=./pgfan pgfan/v1/pgfan.proto
//	cd examples/go && go mod init pgfan-example && go mod tidy && go run . 127.0.0.1:8000 orders
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "pgfan-example/pgfan"
)

// The client's own pings: a dead connection is detected within 30 s.
var alive = keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 15 * time.Second}

// Whether the gateway would refuse the next attempt too.
func forGood(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return true
	}
	return false
}

// Pause before the first attempt after a loss, and its maximum; it doubles after each failure.
const firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second

// Prints a message. Missed events, or one gap, come before Ready: bypass the cache until then.
func heard(message *pb.SubscribeResponse, cursor *string) {
	switch m := message.Message.(type) {
	case *pb.SubscribeResponse_Ready:
		fmt.Println("-- live")
		*cursor = m.Ready.Cursor
	case *pb.SubscribeResponse_Event:
		fmt.Println(m.Event.Channel, m.Event.Payload)
		*cursor = m.Event.Id
	case *pb.SubscribeResponse_Gap:
		fmt.Println("-- something may be missing:", m.Gap.Reason)
		*cursor = m.Gap.Id
	case *pb.SubscribeResponse_Interrupted:
		fmt.Println("-- nothing is heard: bypass what you hold")
	case *pb.SubscribeResponse_Live:
		fmt.Println("-- live")
		*cursor = m.Live.Cursor
	default:
		fmt.Println("-- unknown, so best taken for a gap")
	}
}

// Follows one stream to its end.
func follow(client pb.GatewayServiceClient, channels []string, cursor *string) error {
	request := &pb.SubscribeRequest{Channels: channels, Cursor: *cursor}
	stream, err := client.Subscribe(context.Background(), request)
	if err != nil {
		return err
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		heard(message, cursor)
	}
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go run . ADDRESS CHANNEL…")
	}
	address, channels := os.Args[1], os.Args[2:]
	connection, err := grpc.Dial(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithKeepaliveParams(alive))
	if err != nil {
		log.Fatal(err)
	}
	client, cursor, pause := pb.NewGatewayServiceClient(connection), "", firstPause
	for {
		before := cursor
		err := follow(client, channels, &cursor)
		if cursor != before {
			pause = firstPause
		}
		if forGood(err) {
			log.Fatal(err)
		}
		log.Print(err)
		fmt.Println("-- nothing is heard: bypass what you hold")
		if cursor == "" {
			fmt.Println("-- something may be missing: no_cursor")
		}
		time.Sleep(pause/2 + time.Duration(rand.Int63n(int64(pause/2))))
		if pause *= 2; pause > longestPause {
			pause = longestPause
		}
	}
}
