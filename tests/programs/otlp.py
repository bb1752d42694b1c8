"""Reads bodies of requests to a collector by OpenTelemetry's own definitions: one on each line of the standard input, in OTLP's JSON.

A field that the definitions do not know, a value of another type or an id of another length is an error. What is understood is
printed: name, trace, span and parent of each."""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# Of OTLP's JSON alone these are hexadecimal; protobuf's own has bytes in base64.
IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def with_bytes(node):
    if isinstance(node, list):
        return [with_bytes(item) for item in node]
    if not isinstance(node, dict):
        return node
    read = {}
    for name, value in node.items():
        if name in IDS and value:
            identity = bytes.fromhex(value)
            assert len(identity) == IDS[name] and any(identity), (name, value)
            assert value == value.lower(), (name, value)
            value = base64.b64encode(identity).decode()
        read[name] = with_bytes(value)
    return read


for line in sys.stdin:
    request = json_format.ParseDict(with_bytes(json.loads(line)), ExportTraceServiceRequest())
    # What a collector forwards is binary; nothing is lost on the way.
    assert ExportTraceServiceRequest.FromString(request.SerializeToString()) == request
    for resource in request.resource_spans:
        service = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
        assert service == ["durward"], service
        for scope in resource.scope_spans:
            assert scope.scope.name and scope.scope.version, scope.scope
            for span in scope.spans:
                assert span.name and span.kind and 0 < span.start_time_unix_nano <= span.end_time_unix_nano, span
                keys = [attribute.key for attribute in span.attributes]
                assert len(keys) == len(set(keys)), keys
                assert all(a.value.WhichOneof("value") for a in span.attributes), span
                ids = (span.trace_id, span.span_id, span.parent_span_id)
                print(span.name.replace(" ", "_"), *(one.hex() or "-" for one in ids))
