//! The time that `strftime_now` tells, and its format codes.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01 00:00:00, shown in the calendar as they are: UTC for the system's clock, since the standard library knows no zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub seconds: i64,
}

impl Default for Clock {
    /// Now.
    fn default() -> Clock {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Clock { seconds: i64::try_from(seconds).unwrap_or(0) }
    }
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
/// From 1970-01-01, a Thursday.
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

impl Clock {
    pub fn at(year: i64, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> Clock {
        let days = days_from_civil(year, month.into(), day.into());
        Clock { seconds: days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second) }
    }

    /// Formats as C's `strftime` does in the C locale; a code that it does not know stays as it is.
    pub fn format(self, format: &str) -> String {
        let (days, second_of_day) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        let hour12 = (hour + 11) % 12 + 1;
        let month_name = MONTHS[(month - 1) as usize];
        let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
        let day_of_year = days - days_from_civil(year, 1, 1) + 1;
        let weekday_number = (days + 4).rem_euclid(7);
        let mut text = String::new();
        let mut codes = format.chars();
        while let Some(c) = codes.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let mut code = codes.next();
            let unpadded = code == Some('-');
            if unpadded {
                code = codes.next();
            }
            let mut number = |value: i64, width: usize| {
                let width = if unpadded { 1 } else { width };
                write!(text, "{value:0width$}")
            };
            // Writing to a string cannot fail.
            let _ = match code {
                Some('Y') => number(year, 4),
                Some('y') => number(year.rem_euclid(100), 2),
                Some('m') => number(month, 2),
                Some('d') => number(day, 2),
                Some('e') if unpadded => number(day, 1),
                Some('e') => write!(text, "{day:2}"),
                Some('H') => number(hour, 2),
                Some('I') => number(hour12, 2),
                Some('M') => number(minute, 2),
                Some('S') => number(second, 2),
                Some('f') => number(0, 6),
                Some('j') => number(day_of_year, 3),
                Some('u') => number((weekday_number + 6) % 7 + 1, 1),
                Some('w') => number(weekday_number, 1),
                Some('s') => number(self.seconds, 1),
                Some('B') => write!(text, "{month_name}"),
                Some('b' | 'h') => write!(text, "{}", &month_name[..3]),
                Some('A') => write!(text, "{weekday}"),
                Some('a') => write!(text, "{}", &weekday[..3]),
                Some('p') => write!(text, "{}", if hour < 12 { "AM" } else { "PM" }),
                Some('F') => write!(text, "{year:04}-{month:02}-{day:02}"),
                Some('D' | 'x') => write!(text, "{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
                Some('T' | 'X') => write!(text, "{hour:02}:{minute:02}:{second:02}"),
                Some('R') => write!(text, "{hour:02}:{minute:02}"),
                Some('c') => write!(text, "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}", &weekday[..3], &month_name[..3]),
                // A naive time has no zone in Python either.
                Some('z' | 'Z') => Ok(()),
                Some('%') => write!(text, "%"),
                Some(other) => write!(text, "%{other}"),
                None => write!(text, "%"),
            };
        }
        text
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (month, day) = ((shifted + 2) % 12 + 1, day_of_year - (153 * shifted + 2) / 5 + 1);
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_python_does() {
        let clock = Clock::at(2024, 2, 29, 15, 4, 5);
        assert_eq!(clock.seconds, 1_709_219_045);
        assert_eq!(clock.format("%Y-%m-%d %H:%M:%S"), "2024-02-29 15:04:05");
        assert_eq!(clock.format("%A, %d %B %Y at %-I:%M %p"), "Thursday, 29 February 2024 at 3:04 PM");
        assert_eq!(clock.format("%a %b %e %j %y %w %u %%"), "Thu Feb 29 060 24 4 4 %");
        assert_eq!(Clock::at(2025, 1, 5, 0, 0, 0).format("%d|%-d|%e|%I|%c"), "05|5| 5|12|Sun Jan  5 00:00:00 2025");
        assert_eq!(Clock { seconds: -1 }.format("%F %T"), "1969-12-31 23:59:59");
    }

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for days in -150_000..150_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
    }
}
