import FleetTestSupport
import Foundation
import Testing

@testable import FleetHostShell

struct SourceFileTests {
    private let directory: TemporaryDirectory
    private let bytes: [UInt8]
    private static let fullPieces = SourceFile.pieceLimit + 4
    private var path: String { directory.path + "/file" }

    init() throws {
        directory = try TemporaryDirectory()
        // More pieces than are kept, and a last one that is not full.
        bytes = (0..<Self.fullPieces * SourceFile.pieceBytes + 77).map {
            UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Test(
        "The pieces are the file, whoever reads them in whatever order, and old ones are forgotten"
    )
    func pieces() throws {
        let file = try #require(SourceFiles().open(path))
        var read: [UInt8] = []
        // Flags, so that a failure does not print the file.
        for index in 0...Self.fullPieces {
            let isKnown = file.piece(at: index) != nil
            #expect(!isKnown, "nobody has read it yet")
            let piece = file.readPiece(at: index)
            let isKept = file.piece(at: index) == piece
            #expect(isKept)
            read += piece
        }
        let isWhole = read == bytes
        #expect(isWhole)
        #expect(file.readPiece(at: Self.fullPieces + 1).isEmpty)
        let isForgotten = file.piece(at: 0) == nil
        #expect(isForgotten, "memory does not grow with the file")
        let isFirst = file.readPiece(at: 0) == Array(bytes.prefix(SourceFile.pieceBytes))
        #expect(isFirst)
    }

    @Test("All who send a file share it, and it is opened anew once nobody does")
    func sharing() throws {
        let files = SourceFiles()
        var first = files.open(path)
        let second = files.open(path)
        #expect(first === second)
        _ = first?.readPiece(at: 3)
        #expect(second?.piece(at: 3) != nil)
        #expect(files.open(directory.path + "/none") == nil)
        first = nil
        let replaced = try { () throws -> SourceFile? in
            let files = SourceFiles()
            _ = files.open(path)
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
            return files.open(path)
        }()
        #expect(replaced?.readPiece(at: 0) == [1, 2, 3])
    }
}
