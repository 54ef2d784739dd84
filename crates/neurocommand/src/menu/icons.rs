//! An icon for what has none: its first letter on a coloured square.

/// Pixels of a side.
const SIDE: usize = 64;

/// Pixels of the picture that one dot of a letter takes.
const DOT: usize = 7;

/// Letters and digits, five dots wide and seven high, a row per number.
const LETTERS: [(char, [u8; 7]); 36] = [
    ('0', [14, 17, 19, 21, 25, 17, 14]),
    ('1', [4, 12, 4, 4, 4, 4, 14]),
    ('2', [14, 17, 1, 2, 4, 8, 31]),
    ('3', [31, 2, 4, 2, 1, 17, 14]),
    ('4', [2, 6, 10, 18, 31, 2, 2]),
    ('5', [31, 16, 30, 1, 1, 17, 14]),
    ('6', [6, 8, 16, 30, 17, 17, 14]),
    ('7', [31, 1, 2, 4, 8, 8, 8]),
    ('8', [14, 17, 17, 14, 17, 17, 14]),
    ('9', [14, 17, 17, 15, 1, 2, 12]),
    ('A', [14, 17, 17, 31, 17, 17, 17]),
    ('B', [30, 17, 17, 30, 17, 17, 30]),
    ('C', [14, 17, 16, 16, 16, 17, 14]),
    ('D', [28, 18, 17, 17, 17, 18, 28]),
    ('E', [31, 16, 16, 30, 16, 16, 31]),
    ('F', [31, 16, 16, 30, 16, 16, 16]),
    ('G', [14, 17, 16, 23, 17, 17, 15]),
    ('H', [17, 17, 17, 31, 17, 17, 17]),
    ('I', [14, 4, 4, 4, 4, 4, 14]),
    ('J', [7, 2, 2, 2, 2, 18, 12]),
    ('K', [17, 18, 20, 24, 20, 18, 17]),
    ('L', [16, 16, 16, 16, 16, 16, 31]),
    ('M', [17, 27, 21, 21, 17, 17, 17]),
    ('N', [17, 17, 25, 21, 19, 17, 17]),
    ('O', [14, 17, 17, 17, 17, 17, 14]),
    ('P', [30, 17, 17, 30, 16, 16, 16]),
    ('Q', [14, 17, 17, 17, 21, 18, 13]),
    ('R', [30, 17, 17, 30, 20, 18, 17]),
    ('S', [15, 16, 16, 14, 1, 1, 30]),
    ('T', [31, 4, 4, 4, 4, 4, 4]),
    ('U', [17, 17, 17, 17, 17, 17, 14]),
    ('V', [17, 17, 17, 17, 17, 10, 4]),
    ('W', [17, 17, 17, 21, 21, 21, 10]),
    ('X', [17, 17, 10, 4, 10, 17, 17]),
    ('Y', [17, 17, 17, 10, 4, 4, 4]),
    ('Z', [31, 1, 2, 4, 8, 16, 31]),
];

/// Dark enough for a white letter.
const COLOURS: [[u8; 3]; 8] = [
    [0x1f, 0x4e, 0x79],
    [0x2e, 0x6b, 0x34],
    [0x7a, 0x2f, 0x5d],
    [0x8a, 0x4b, 0x08],
    [0x3f, 0x3d, 0x8f],
    [0x0f, 0x6b, 0x6b],
    [0x8b, 0x2c, 0x2c],
    [0x4a, 0x4a, 0x4a],
];

/// A PNG of two colours with the first letter of `name`; the same for the same name.
pub fn letter_icon(name: &str) -> Vec<u8> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let colour = COLOURS[(hash >> 32) as usize % COLOURS.len()];
    let first = name
        .chars()
        .find(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase());
    let rows = LETTERS
        .iter()
        .find(|(letter, _)| Some(*letter) == first)
        .map(|(_, rows)| rows);
    // One bit per pixel: 0 is the square, 1 the letter.
    let mut pixels = vec![0_u8; SIDE * SIDE / 8];
    let (left, top) = ((SIDE - 5 * DOT) / 2, (SIDE - 7 * DOT) / 2);
    for (y, row) in rows.into_iter().flatten().enumerate() {
        for x in (0..5).filter(|x| row & (16 >> x) != 0) {
            for dy in 0..DOT {
                for dx in 0..DOT {
                    let at = (top + y * DOT + dy) * SIDE + left + x * DOT + dx;
                    pixels[at / 8] |= 0x80 >> (at % 8);
                }
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE as u32, SIDE as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    let mut palette = colour.to_vec();
    palette.extend([255, 255, 255]);
    encoder.set_palette(palette);
    // Writing to memory cannot fail.
    if let Ok(mut writer) = encoder.write_header() {
        let _ = writer.write_image_data(&pixels);
    }
    bytes
}
