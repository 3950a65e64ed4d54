package billing

import "errors"

// Currency is an ISO 4217 currency code in capitals: "EUR".
type Currency string

// ErrCurrency says that a text is no currency code of ISO 4217.
var ErrCurrency = errors.New("not an ISO 4217 currency code")

// ParseCurrency returns the currency of a known code, or a [ParseError] around [ErrCurrency]. Codes are written
// in capitals. Codes that ISO 4217 lists without a minor unit (metals, bond market units, testing) are not
// currencies that a bill can be made out in and are not known.
func ParseCurrency(code string) (Currency, error) {
	if _, known := currencyDigits(code); !known {
		return "", &ParseError{What: "currency", Text: code, Err: ErrCurrency}
	}
	return Currency(code), nil
}

// Digits returns the number of decimal places of the currency's minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
// For a code that [ParseCurrency] does not know it returns 2.
func (c Currency) Digits() int {
	if digits, known := currencyDigits(string(c)); known {
		return digits
	}
	return 2
}

// currencyEntry is the length of one entry of currencyTable: three letters and a digit.
const currencyEntry = 4

// currencyDigits looks a code up by binary search.
func currencyDigits(code string) (digits int, known bool) {
	low, high := 0, len(currencyTable)/currencyEntry
	for low < high {
		middle := (low + high) / 2
		entry := currencyTable[middle*currencyEntry : (middle+1)*currencyEntry]
		switch {
		case entry[:3] == code:
			return int(entry[3] - '0'), true
		case entry[:3] < code:
			low = middle + 1
		default:
			high = middle
		}
	}
	return 0, false
}

// currencyTable lists every code with its minor unit's decimal places, in order. One constant string needs no
// set-up when a tariff's module starts. Codes that were withdrawn lately (ANG, BGN, CUC) stay: usage is billed,
// and bills are read, for years.
const currencyTable = "" +
	"AED2AFN2ALL2AMD2ANG2AOA2ARS2AUD2AWG2AZN2BAM2BBD2BDT2BGN2BHD3BIF0BMD2BND2BOB2BOV2" +
	"BRL2BSD2BTN2BWP2BYN2BZD2CAD2CDF2CHE2CHF2CHW2CLF4CLP0CNY2COP2COU2CRC2CUC2CUP2CVE2" +
	"CZK2DJF0DKK2DOP2DZD2EGP2ERN2ETB2EUR2FJD2FKP2GBP2GEL2GHS2GIP2GMD2GNF0GTQ2GYD2HKD2" +
	"HNL2HTG2HUF2IDR2ILS2INR2IQD3IRR2ISK0JMD2JOD3JPY0KES2KGS2KHR2KMF0KPW2KRW0KWD3KYD2" +
	"KZT2LAK2LBP2LKR2LRD2LSL2LYD3MAD2MDL2MGA2MKD2MMK2MNT2MOP2MRU2MUR2MVR2MWK2MXN2MXV2" +
	"MYR2MZN2NAD2NGN2NIO2NOK2NPR2NZD2OMR3PAB2PEN2PGK2PHP2PKR2PLN2PYG0QAR2RON2RSD2RUB2" +
	"RWF0SAR2SBD2SCR2SDG2SEK2SGD2SHP2SLE2SOS2SRD2SSP2STN2SVC2SYP2SZL2THB2TJS2TMT2TND3" +
	"TOP2TRY2TTD2TWD2TZS2UAH2UGX0USD2USN2UYI0UYU2UYW4UZS2VED2VES2VND0VUV0WST2XAD2XAF0" +
	"XCD2XCG2XOF0XPF0YER2ZAR2ZMW2ZWG2"
