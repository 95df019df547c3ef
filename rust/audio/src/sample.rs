//! How samples are stored.

/// A sample as the recording has it, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// 8 bits, silence at 128.
    U8,
    /// 16 bits.
    I16,
    /// 24 bits.
    I24,
    /// 32 bits.
    I32,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Sample {
    /// Bytes of one sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Whether it is a floating-point number.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// The sample in `bytes` as a number between -1 and 1, as libsndfile makes it.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "this is what libsndfile does"
    )]
    pub(crate) fn to_f32(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::U8, &[a]) => f32::from(i16::from(a) - 128) / 128.0,
            (Self::I16, &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Self::I24, &[a, b, c]) => (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0,
            (Self::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::F64, _) => bytes.try_into().map_or(0.0, f64::from_le_bytes) as f32,
            _ => 0.0,
        }
    }

    /// Appends the `bits` wide integer of a decoder.
    pub(crate) fn put_int(self, value: i32, out: &mut Vec<u8>) {
        let [a, b, c, d] = value.to_le_bytes();
        match self {
            Self::U8 => out.push(a.wrapping_add(128)),
            Self::I16 => out.extend_from_slice(&[a, b]),
            Self::I24 => out.extend_from_slice(&[a, b, c]),
            _ => out.extend_from_slice(&[a, b, c, d]),
        }
    }
}
