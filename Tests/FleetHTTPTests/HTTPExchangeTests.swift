import FleetTransport
import Testing

@testable import FleetHTTP

struct HTTPExchangeTests {
    private func verdict(
        _ answer: String,
        probe: HTTPProbe = HTTPProbe(host: "127.0.0.1", port: 5000, target: "/health"),
        pieces: Int = 7
    ) -> (isDone: Bool, verdict: HTTPExchange.Verdict) {
        let exchange = HTTPExchange(probe)
        var rest = Array(answer.utf8)[...]
        var isDone = false
        while !rest.isEmpty, !isDone {
            isDone = exchange.receive(Array(rest.prefix(pieces)))
            rest = rest.dropFirst(pieces)
        }
        return (isDone, exchange.verdict())
    }

    private func ok(_ body: String) -> String {
        "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    @Test func asksForThePathAndClosesAfterwards() {
        let probe = HTTPProbe(host: "::1", port: 80, target: "/a?b=c")
        let request = String(decoding: HTTPExchange(probe).request, as: UTF8.self)
        #expect(request.hasPrefix("GET /a?b=c HTTP/1.1\r\n"))
        #expect(request.contains("Host: [::1]:80\r\n"))
        #expect(request.contains("Connection: close\r\n"))
        #expect(request.hasSuffix("\r\n\r\n"))
    }

    /// Row K2.
    @Test("A body that cannot be read is not a good one")
    func unreadableBodies() {
        #expect(
            String(
                decoding: HTTPExchange(HTTPProbe(host: "a", port: 1, target: "/")).request,
                as: UTF8.self
            )
            .contains("Accept-Encoding: identity\r\n")
        )
        func seen(_ head: String, _ body: [UInt8], probe: HTTPProbe? = nil) -> HTTPExchange.Verdict
        {
            let exchange = HTTPExchange(probe ?? HTTPProbe(host: "a", port: 1, target: "/"))
            let text = "HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\(head)\r\n"
            _ = exchange.receive(Array(text.utf8) + body)
            return exchange.verdict()
        }
        let bad = "{\"status\":\"error\"}"
        for encoding in ["gzip", "deflate", "br", "GZIP"] {
            guard
                case .fail(let why, _) = seen(
                    "Content-Encoding: \(encoding)\r\n",
                    [0x1F, 0x8B, 8, 0]
                )
            else { return #expect(Bool(false), "\(encoding)") }
            #expect(why.contains("Content-Encoding"))
        }
        #expect(seen("Content-Encoding: identity\r\n", Array("ok".utf8)) == .pass)
        let loose = HTTPProbe(host: "a", port: 1, target: "/", rejectsErrorReports: false)
        #expect(seen("Content-Encoding: gzip\r\n", [0x1F, 0x8B], probe: loose) == .pass)
        let units = Array(bad.utf16)
        let big = units.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
        let little = units.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        for body in [big, little, [0xFE, 0xFF] + big, [0xFF, 0xFE] + little] {
            #expect(seen("", body) != .pass)
        }
        for opening in [")]}',\n", ")]}'\n", "while(1);", "for(;;);", "{}&& "] {
            #expect(seen("", Array((opening + bad).utf8)) != .pass, "\(opening)")
            #expect(seen("", Array((opening + "{\"status\":\"ok\"}").utf8)) == .pass, "\(opening)")
        }
        #expect(seen("Content-Type: application/json\r\n", Array("cb(\(bad))".utf8)) != .pass)
        #expect(seen("Content-Type: application/json\r\n", Array("OK".utf8)) == .pass)
    }

    /// Row K2.
    @Test(
        "A release is not named by another one's name",
        arguments: [
            ("v2.0.0", "{\"version\": \"v2.0.0\"}", true), ("v2.0.0", "v2.0.0", true),
            ("v2.0.0", "This is v2.0.0.", true), ("v2.0.0", "v2.0.0+build.5", true),
            ("2.0.0", "app v2.0.0 up", true), ("v2.0.0", "was v2.0.0-rc.1, is v2.0.0", true),
            ("v2.0.0", "v2.0.0-rc.1", false), ("v2.0.0", "v2.0.01", false),
            ("v2.0.0", "v2.0.0.1", false), ("2.0.0", "12.0.0", false), ("2.0.0", "1.2.0.0", false),
            ("v2.0.0", "v2.0.0_b", false), ("v2.0.0", "v2.0.0-3-gabc1234", false),
            ("v2.0.0", "", false),
        ]
    )
    func versions(_ version: String, _ body: String, _ isNamed: Bool) {
        let probe = HTTPProbe(host: "a", port: 1, target: "/", contains: version, isVersion: true)
        #expect((verdict(ok(body), probe: probe).verdict == .pass) == isNamed)
        let plain = HTTPProbe(host: "a", port: 1, target: "/", contains: version)
        #expect((verdict(ok(body), probe: plain).verdict == .pass) == body.contains(version))
    }

    @Test func aGoodAnswerPassesHoweverItIsCut() {
        for pieces in [1, 3, 1000] {
            let result = verdict(ok("{\"status\":\"healthy\"}"), pieces: pieces)
            #expect(result.isDone)
            #expect(result.verdict == .pass)
        }
    }

    @Test func chunkedAndUnboundedBodiesPassToo() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        #expect(verdict(chunked).verdict == .pass)
        let unbounded = verdict("HTTP/1.0 200 OK\r\n\r\nuntil the end")
        #expect(!unbounded.isDone)
        #expect(unbounded.verdict == .pass)
    }

    @Test(arguments: [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "status 500, not 200"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "the answer is cut short"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"),
        ("", "there was no answer"),
    ])
    func otherAnswersFail(_ answer: String, _ reason: String) {
        guard case .fail(let found, _) = verdict(answer).verdict else {
            return #expect(Bool(false))
        }
        #expect(found == reason || reason == "there was no answer")
    }

    @Test(
        "What Python and others write beside an error hides it from nobody",
        arguments: [
            "{\"status\": \"error\", \"load\": NaN}", "{\"load\": Infinity, \"status\": \"error\"}",
            "\u{FEFF}{\"status\": \"error\"}", "  \r\n[-Infinity, \"error\"]",
            "{\"a\": \"error\",}", "{\"a\": \"ok\"}\n{\"b\": \"error\"}\n",
        ]
    )
    func lenientReports(body: String) {
        guard case .fail(let reason, _) = verdict(ok(body)).verdict else {
            return #expect(Bool(false))
        }
        #expect(reason.contains("reports an error"))
    }

    @Test("A page that begins as JSON does and is none is no good page; text is text")
    func unreadableReports() {
        guard case .fail(let reason, _) = verdict(ok("{\"status\": \"ok\"")).verdict else {
            return #expect(Bool(false))
        }
        #expect(reason.contains("it begins as JSON does, and is none"))
        for body in [
            "ok", "<html>error</html>", "", "error: none", "{\"load\": NaN, \"ok\": true}",
            "[OK] all is well", "\"quoted\" words", "{\"a\": 1}\n{\"b\": 2}\n",
        ] {
            #expect(verdict(ok(body)).verdict == .pass)
        }
    }

    /// Row K7.
    @Test("An application is asked under its own name, and its refusal says under which")
    func ownNames() {
        let probe = HTTPProbe(
            host: "127.0.0.1",
            port: 5000,
            target: "/health",
            hostHeader: "shop.example.com",
            headers: [EnvironmentVariable("X-Forwarded-Proto", "https")]
        )
        let exchange = HTTPExchange(probe)
        let request = String(decoding: exchange.request, as: UTF8.self)
        #expect(request.contains("Host: shop.example.com\r\n"))
        #expect(request.contains("X-Forwarded-Proto: https\r\n") && !request.contains("127.0.0.1"))
        _ = exchange.receive(
            Array(
                "HTTP/1.1 301 Moved\r\nLocation: https://shop/\r\nContent-Length: 0\r\n\r\n".utf8
            )
        )
        guard case .fail(let moved, _) = exchange.verdict() else { return #expect(Bool(false)) }
        #expect(moved == "status 301, not 200, and sends on to https://shop/")
        let plain = HTTPExchange(HTTPProbe(host: "127.0.0.1", port: 5000, target: "/"))
        _ = plain.receive(Array("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n".utf8))
        guard case .fail(let refused, _) = plain.verdict() else { return #expect(Bool(false)) }
        #expect(refused.contains("asked as Host: 127.0.0.1:5000"))
    }

    @Test func aHealthPageThatSaysErrorFails() {
        let body =
            "{\"services\": {\"a\": \"ok\", \"b\": [{\"state\": \"Error\"}]}, \"error\": null}"
        #expect(
            verdict(ok(body)).verdict
                == .fail(
                    "the body reports an error: services.b.0.state = \"Error\" "
                        + "(`reject_errors: false` lets that pass)",
                    body: body
                )
        )
        let probe = HTTPProbe(host: "h", port: 1, target: "/", rejectsErrorReports: false)
        #expect(verdict(ok(body), probe: probe).verdict == .pass)
    }

    @Test(arguments: [
        "{\"error\": null}", "{\"error\": \"none\"}", "no error here", "[]", "\"fine\"",
    ])
    func theWordAloneIsNoReport(_ body: String) { #expect(verdict(ok(body)).verdict == .pass) }

    @Test func theBodyMustContainWhatIsAskedFor() {
        var probe = HTTPProbe(host: "h", port: 1, target: "/")
        probe.contains = "v1.2.0"
        #expect(verdict(ok("v1.2.0"), probe: probe).verdict == .pass)
        #expect(
            verdict(ok("v1.1.0"), probe: probe).verdict
                == .fail("the body does not contain `v1.2.0`", body: "v1.1.0")
        )
    }

    @Test func anEndlessAnswerIsEnded() {
        let exchange = HTTPExchange(HTTPProbe(host: "h", port: 1, target: "/"))
        _ = exchange.receive(Array("HTTP/1.1 200 OK\r\n\r\n".utf8))
        #expect(exchange.receive([UInt8](repeating: 65, count: HTTPExchange.bodyLimitBytes + 1)))
        guard case .fail = exchange.verdict() else { return #expect(Bool(false)) }
    }
}
