package larqnets;

import java.util.Arrays;
import java.util.Properties;

/** The entries of NAME.properties; what is missing or nonsense is an IllegalArgumentException that names it. */
final class Entries {
    private final Properties properties;

    Entries(Properties properties) {
        this.properties = properties;
    }

    String text(String key) {
        String value = properties.getProperty(key);
        if (value == null) {
            throw nonsense(key, "is missing");
        }
        return value;
    }

    String oneOf(String key, String... known) {
        String value = text(key);
        if (!Arrays.asList(known).contains(value)) {
            throw nonsense(key, "is '" + value + "' and must be one of " + String.join(", ", known));
        }
        return value;
    }

    /** Returns a whole number from `least` to `most`. */
    int whole(String key, int least, int most) {
        String value = text(key);
        try {
            int number = Integer.parseInt(value);
            if (least <= number && number <= most) {
                return number;
            }
        } catch (NumberFormatException error) {
            throw nonsense(key, "is '" + value + "', which is no whole number");
        }
        throw nonsense(key, "is " + value + " and must lie between " + least + " and " + most);
    }

    /** Returns a number above `least`, at most `most`. */
    double number(String key, double least, double most) {
        double number = finite(key, text(key));
        if (!(least < number && number <= most)) {
            throw nonsense(key, "is " + number + " and must lie between " + least + " and " + most);
        }
        return number;
    }

    double[] numbers(String key, int count) {
        String[] parts = text(key).split(",", -1);
        if (parts.length != count) {
            throw nonsense(key, "has " + parts.length + " numbers and must have " + count);
        }
        return Arrays.stream(parts).mapToDouble(part -> finite(key, part)).toArray();
    }

    /** Returns colours "R G B,R G B,..." as 0xFFRRGGBB; none of an empty text. */
    int[] colors(String key) {
        if (text(key).isEmpty()) {
            return new int[0];
        }
        return Arrays.stream(text(key).split(",", -1)).mapToInt(color -> color(key, color)).toArray();
    }

    private static int color(String key, String value) {
        int color = 0xFF;
        String[] parts = value.split(" ", -1);
        for (String part : parts) {
            if (parts.length != 3 || !part.matches("[0-9]{1,3}") || Integer.parseInt(part) > 255) {
                throw nonsense(key, "has '" + value + "', which is no colour such as 255 0 0");
            }
            color = color << 8 | Integer.parseInt(part);
        }
        return color;
    }

    private static double finite(String key, String value) {
        double number = Double.NaN;
        try {
            number = Double.parseDouble(value);
        } catch (NumberFormatException error) {
            throw nonsense(key, "has '" + value + "', which is no number");
        }
        if (Double.isNaN(number) || Double.isInfinite(number)) {
            throw nonsense(key, "has '" + value + "', which is not finite");
        }
        return number;
    }

    private static IllegalArgumentException nonsense(String key, String what) {
        return new IllegalArgumentException(
                "In the properties of the model " + key + " " + what + ". Write them again: larqnets convert --app.");
    }
}
