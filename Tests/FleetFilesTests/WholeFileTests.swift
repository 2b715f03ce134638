import FleetFiles
import FleetTestSupport
import Foundation
import Testing

struct WholeFileTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ text: String, to name: String) throws {
        try WholeFile.write(Array(text.utf8), to: directory.path + "/" + name, mode: 0o600)
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    private func mode(_ name: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: directory.path + "/" + name)[
            .posixPermissions
        ] as? Int
    }

    @Test("A file is made with its mode, and keeps the one that it has")
    func modes() throws {
        try write("one", to: "file")
        #expect(directory.read("file") == "one")
        #expect(try mode("file") == 0o600)
        try Command.shell("chmod 644 file", in: directory.path)
        try write("two", to: "file")
        #expect(directory.read("file") == "two")
        #expect(try mode("file") == 0o644)
        #expect(try names() == ["file"])
    }

    @Test("A link stays one, and what it points to is replaced")
    func links() throws {
        try Command.shell(
            "mkdir there; echo old >there/file; ln -s there/file link",
            in: directory.path
        )
        try write("new", to: "link")
        #expect(directory.read("there/file") == "new")
        let kind = try FileManager.default.attributesOfItem(atPath: directory.path + "/link")[.type]
        #expect(kind as? FileAttributeType == .typeSymbolicLink)
        // What it points to may be yet to come.
        try Command.shell("ln -s there/later later", in: directory.path)
        try write("made", to: "later")
        #expect(directory.read("there/later") == "made")
    }

    @Test("Whoever has the old file open keeps all of it")
    func readers() throws {
        try write("old", to: "file")
        let reader = try #require(FileHandle(forReadingAtPath: directory.path + "/file"))
        try write("something longer", to: "file")
        #expect(try reader.readToEnd() == Data("old".utf8))
    }

    @Test("What cannot be written changes nothing and leaves nothing behind")
    func failures() throws {
        #expect(throws: WholeFile.Failure.self) { try write("x", to: "nowhere/file") }
        try Command.shell("mkdir file; echo kept >file/inside", in: directory.path)
        #expect(throws: WholeFile.Failure.self) { try write("x", to: "file") }
        #expect(directory.read("file/inside") == "kept\n")
        #expect(try names() == ["file"])
    }
}
