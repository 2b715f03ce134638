import FleetOperations
import FleetTestSupport
import Foundation
import Testing

@testable import FleetServer

struct TLSTests {
    private func makeCertificate(_ name: String, in directory: String) throws {
        try Command.shell(
            """
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj /CN=\(name) -keyout new.key -out new.pem 2>/dev/null
            mv new.key tls.key && mv new.pem tls.pem
            """,
            in: directory
        )
    }

    /// The name in the certificate that a connection is shown.
    private func shown(_ port: Int) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(
                    with: Result {
                        try Command.shell(
                            "openssl s_client -connect 127.0.0.1:\(port) </dev/null 2>/dev/null | openssl x509 -noout -subject"
                        )
                    }
                )
            }
        }
    }

    /// Row S24.
    @Test(
        "A certificate that was replaced is shown after a reload; one that cannot be used changes nothing"
    )
    func reload() async throws {
        let server = try ServerFixture()
        try makeCertificate("first", in: server.path)
        let file = try String(contentsOfFile: server.path + "/server.yml", encoding: .utf8)
        try server.directory.write(
            file + "tls: { certificate: \(server.path)/tls.pem, key: \(server.path)/tls.key }\n",
            to: "server.yml"
        )
        try server.commit("first")
        try await server.start()
        #expect(try await shown(server.port).contains("first"))
        try makeCertificate("second", in: server.path)
        #expect(try await shown(server.port).contains("first"))
        try server.reload()
        #expect(try await shown(server.port).contains("second"))
        try server.directory.write("nonsense", to: "tls.pem")
        #expect(throws: OperationFailure.self) { try server.reload() }
        #expect(try await shown(server.port).contains("second"))
        // What is not TLS gets no answer in the clear.
        let plain = try? await server.client().get("/healthz")
        #expect(plain?.body != "ok\n")
        await server.stop()
    }
}
