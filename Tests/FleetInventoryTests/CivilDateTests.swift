import FleetInventory
import FleetTestSupport
import Foundation
import Testing

struct CivilDateTests {
    @Test("Days and dates are each other's, as Foundation's calendar has them")
    func both() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        for days in stride(from: -200_000, to: 200_000, by: 97) {
            let date = CivilDate(daysSince1970: days)
            let other = calendar.dateComponents(
                [.year, .month, .day],
                from: Date(timeIntervalSince1970: Double(days) * 86_400)
            )
            // Before 1582 Foundation counts by the Julian calendar.
            if days > -141_000 {
                #expect([date.year, date.month, date.day] == [other.year, other.month, other.day])
            }
            #expect(date.daysSince1970 == days)
            #expect(CivilDate(year: date.year, month: date.month, day: date.day) == date)
        }
        #expect(CivilDate(year: 1970, month: 1, day: 1)?.daysSince1970 == 0)
    }

    @Test(
        "Days that there are not are none",
        arguments: [
            (2026, 2, 29), (1900, 2, 29), (2026, 4, 31), (2026, 13, 1), (2026, 0, 1), (2026, 1, 0),
        ]
    )
    func none(_ year: Int, _ month: Int, _ day: Int) {
        #expect(CivilDate(year: year, month: month, day: day) == nil)
        #expect(CivilDate(year: 2000, month: 2, day: 29) != nil)
    }
}
