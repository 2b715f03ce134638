import FleetTestSupport
import FleetTransport
import FleetYAML
import Testing

@testable import FleetPlaybook

struct TemplateTests {
    private let scope = StepScope(
        environment: "production",
        endpoint: HostEndpoint(name: "web1"),
        variables: ["name": "a value; with $(danger) 'and' \"quotes\"", "dir": "/srv/app"],
        release: (tag: "v1.2.0", commit: String(repeating: "c", count: 40))
    )

    private func template(_ text: String) throws -> Template {
        let reader = YAMLReader(file: "p", source: text)
        let template = Template(
            text,
            location: SourceLocation(file: "p", line: 1, column: 1),
            reader: reader
        )
        try reader.finish()
        return template
    }

    @Test func aValueNeverBecomesShellSource() throws {
        for text in [
            "printf '%s' ${{ vars.name }}", "printf '%s' \"${{ vars.name }}\"",
            "printf '%s' \"\"${{ vars.name }}\"\"", "# it's a comment\nprintf '%s' ${{vars.name}}",
        ] {
            let (shell, environment) = try template(text).shell(in: scope)
            #expect(!shell.contains("danger"))
            let script = Script(shell, environment: environment)
            let result = try Command.run(["sh", "-s"], input: script.shellText)
            #expect(result.output == scope.variables["name"], "\(text) became \(shell)")
        }
    }

    @Test func aHereDocumentGetsTheBareValue() throws {
        let (shell, environment) = try template("cat <<EOF\nx ${{ vars.dir }} y\nEOF\n").shell(
            in: scope
        )
        let result = try Command.run(
            ["sh", "-s"],
            input: Script(shell, environment: environment).shellText
        )
        #expect(result.output == "x /srv/app y\n")
    }

    @Test func aReferenceInSingleQuotesIsRefused() throws {
        let template = try template("echo '${{ vars.dir }}'")
        let error = #expect(throws: UndefinedReference.self) { try template.shell(in: scope) }
        #expect(error?.hint == "use double quotes around it")
    }

    @Test func namesTheHostWhereAVariableIsMissing() throws {
        let template = try template("${{ vars.dri }}")
        let error = #expect(throws: UndefinedReference.self) { try template.value(in: scope) }
        #expect(error?.message == "`vars.dri` has no value on web1")
        #expect(error?.hint == "did you mean `vars.dir`?")
    }

    @Test(arguments: [
        "${{ vars.x", "${{ host.nam }}", "${{ env.HOME }}", "${{ }}", "${{ vars.a-b }}",
    ])
    func refusesReferencesToNothing(_ text: String) {
        #expect(throws: Diagnostics.self) { try template(text) }
    }

    @Test func theWayBackRefersToTheSnapshot() throws {
        var back = scope
        back.direction = .revert
        let template = try template("v=${{ release.tag }} c=${{ release.commit }}")
        #expect(try template.value(in: back) == "v=\(SnapshotToken.tag) c=\(SnapshotToken.commit)")
        #expect(try template.value(in: scope) == "v=v1.2.0 c=\(String(repeating: "c", count: 40))")
    }

    @Test(arguments: [
        ("http://127.0.0.1:5000/health", "127.0.0.1", 5000, "/health"),
        ("http://app", "app", 80, "/"), ("http://app?x=1#y", "app", 80, "/?x=1"),
        ("http://[::1]:8080/a", "::1", 8080, "/a"),
    ])
    func readsURLs(_ url: String, _ host: String, _ port: Int, _ target: String) {
        let address = HTTPAddress(url)
        #expect(address?.host == host)
        #expect(address?.port == port)
        #expect(address?.target == target)
    }

    @Test(arguments: [
        "https://x", "x", "http://", "http://a:b/", "http://u@h/", "http://h:0/", "http://h/a b",
    ])
    func refusesOtherURLs(_ url: String) { #expect(HTTPAddress(url) == nil) }
}
