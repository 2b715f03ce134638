import FleetReport
import FleetWeb
import Glibc

/// `fleet-web traces`: sends what `fleet` hands it, so that `fleet` itself needs no HTTP client to start.
///
/// Each line of standard input is the body of a request. Where it goes, and by which headers, is said by OpenTelemetry's
/// variables. Exits 0 if everything was taken, 1 if not, 64 if it is called wrongly.
@main
enum FleetWebMain {
    static func main() async {
        guard CommandLine.arguments.dropFirst() == ["traces"] else {
            fail("fleet calls this program: `fleet-web traces <LINES`", status: 64)
        }
        let settings = TraceSettings { name in
            getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
        }
        guard let settings else { fail("OTEL_EXPORTER_OTLP_ENDPOINT is not set", status: 64) }
        var bodies: [[UInt8]] = []
        while let line = readLine(strippingNewline: true) {
            if !line.isEmpty { bodies.append(Array(line.utf8)) }
        }
        let sender = WebSender(
            endpoint: settings.endpoint,
            name: settings.place,
            headers: settings.headers,
            timeoutMilliseconds: settings.timeoutMilliseconds,
            certificates: settings.certificates
        )
        do throws(WebSender.Failure) { try await sender.post(bodies) } catch {
            fail(Sanitizer.line(error.reason), status: 1)
        }
    }

    private static func fail(_ text: String, status: Int32) -> Never {
        let bytes = Array("fleet-web: \(text)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
        exit(status)
    }
}
