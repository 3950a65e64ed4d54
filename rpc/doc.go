// Package rpc is the outer contract: the services of tollway.v1 (see the
// .proto files in tollway/v1) over Connect, gRPC and gRPC-Web, and the clients
// that the command line uses.
//
//	producer, dashboard, curl ──▶ guard ──▶ decode ──▶ handler ──▶ Engine
//	                              who may    limits    convert     (the host)
//
// Every call is a POST of JSON or protobuf to /tollway.v1.SERVICE/METHOD:
//
//	curl -H 'Content-Type: application/json' -d '{"account":"emma"}' \
//	     http://127.0.0.1:8080/tollway.v1.SubtotalService/Get
//
// Reads have no side effects, so they work as GET as well:
//
//	curl -G http://127.0.0.1:8080/tollway.v1.SubtotalService/Get \
//	     -d encoding=json --data-urlencode 'message={"account":"emma"}'
//
// JSON uses the names of the .proto files (as_of, not asOf; both are read),
// shows fields that are empty, writes amounts and 64-bit numbers as strings,
// and refuses names that it does not know: a misspelt filter must not look
// like an answer.
//
// Errors carry a Connect code, a message and a [tollwayv1.ErrorDetail] with a
// stable reason and a hint; errors.go has the one table of reasons and codes.
//
// This package holds no state of its own beyond open calls. It is the only
// importer of Connect.
package rpc

import (
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// ServiceNames are the full names of the services, in alphabetical order.
func ServiceNames() []string {
	return []string{
		string(tollwayv1.File_tollway_v1_admin_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_backfill_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_catalog_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_dead_letter_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_delivery_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_invoice_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_period_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_plugin_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_subtotal_service_proto.Services().Get(0).FullName()),
		string(tollwayv1.File_tollway_v1_usage_service_proto.Services().Get(0).FullName()),
	}
}
