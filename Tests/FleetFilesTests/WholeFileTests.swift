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

    @Test("A file is read to its end, or to the limit")
    func reading() throws {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        try WholeFile.write(bytes, to: directory.path + "/file", mode: 0o600)
        #expect(WholeFile.read(directory.path + "/file") == bytes)
        #expect(WholeFile.read(directory.path + "/file", limit: 5000) == Array(bytes[..<5000]))
        try write("", to: "empty")
        #expect(WholeFile.read(directory.path + "/empty") == [])
        #expect(WholeFile.read(directory.path + "/missing") == nil)
        #expect(WholeFile.read(directory.path) == nil)
        // Files of the kernel's say that they are empty.
        #expect(WholeFile.read("/proc/self/stat")?.isEmpty == false)
    }

    @Test("A pipe is read to its end, however slowly it is written, and an unused one is empty")
    func pipes() throws {
        try Command.shell("mkfifo pipe", in: directory.path)
        #expect(WholeFile.read(directory.path + "/pipe") == [])
        let writer = Thread { [path = directory.path] in
            let pipe = FileHandle(forWritingAtPath: path + "/pipe")
            for _ in 0..<3 { pipe?.write(Data(repeating: 0x61, count: 70_000)) }
        }
        // The writer's open waits for a reader, and the reader's does not wait for a writer: so it
        // is held open from here until the writer has begun.
        let held = open(directory.path + "/pipe", O_RDONLY | O_NONBLOCK)
        defer { close(held) }
        writer.start()
        var ready = pollfd(fd: held, events: Int16(POLLIN), revents: 0)
        #expect(poll(&ready, 1, 10_000) == 1)
        #expect(WholeFile.read(directory.path + "/pipe")?.count == 210_000)
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

    @Test("What is no regular file is never replaced, and remembers nothing")
    func devices() throws {
        let directory = try TemporaryDirectory()
        let pipe = directory.path + "/pipe"
        try Command.shell("mkfifo pipe", in: directory.path)
        #expect(throws: WholeFile.Failure.self) {
            try WholeFile.write([1], to: pipe, mode: 0o600)
        }
        #expect(throws: WholeFile.Failure.self) {
            try WholeFile.write([1], to: "/dev/null", mode: 0o600)
        }
        #expect(try !WholeFile.append(Array("x\n".utf8), to: "/dev/null", mode: 0o600))
        #expect(
            try Command.shell("test -p pipe; test -c /dev/null; echo same", in: directory.path)
                == "same\n"
        )
    }

    @Test("Many who add lines at once lose none, and an unended line is ended")
    func appending() async throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/known"
        try directory.write("first", to: "known")
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<50 {
                group.addTask {
                    do {
                        _ = try WholeFile.append(
                            Array("line \(number)\n".utf8),
                            to: path,
                            mode: 0o600
                        )
                    } catch {
                        Issue.record(error)
                    }
                }
            }
        }
        let lines = try #require(directory.read("known")).split(separator: "\n")
        #expect(lines.count == 51 && lines[0] == "first" && Set(lines).count == 51)
    }
}
