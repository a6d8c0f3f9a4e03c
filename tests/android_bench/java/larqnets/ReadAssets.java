package larqnets;

import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Properties;
import java.util.TreeSet;

/** Prints what Java reads of the properties and labels of a model, every text as the hexadecimal digits of its UTF-8. */
public final class ReadAssets {
    private ReadAssets() {}

    /** `args`: NAME.properties, and NAME.labels.txt where the properties are those of a model. */
    public static void main(String[] args) throws IOException {
        Properties read = new Properties();
        try (Reader properties = Files.newBufferedReader(Paths.get(args[0]))) {
            read.load(properties);
        }
        for (String key : new TreeSet<>(read.stringPropertyNames())) {
            System.out.println(key + " " + hex(read.getProperty(key)));
        }
        if (args.length == 1) {
            return;
        }
        try (Reader properties = Files.newBufferedReader(Paths.get(args[0]));
                Reader labels = Files.newBufferedReader(Paths.get(args[1]))) {
            Metadata metadata = Metadata.read(properties, labels);
            System.out.println("-source " + hex(metadata.source));
            for (String label : metadata.labels) {
                System.out.println("-label " + hex(label));
            }
        }
    }

    private static String hex(String text) {
        StringBuilder digits = new StringBuilder("x");
        for (byte each : text.getBytes(StandardCharsets.UTF_8)) {
            digits.append(String.format("%02x", each));
        }
        return digits.toString();
    }
}
