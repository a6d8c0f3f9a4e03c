package larqnets;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Paths;

/** What is told where a library is missing: the argument is a .tflite file. */
final class Missing {
    private Missing() {}

    public static void main(String[] arguments) throws Exception {
        byte[] content = Files.readAllBytes(Paths.get(arguments[0]));
        ByteBuffer model = Checks.direct(content);
        for (Told.Act act : new Told.Act[] {() -> new Interpreter(model), Interpreter::tensorFlowLite}) {
            try {
                act.run();
                throw new AssertionError("nothing is missing");
            } catch (IllegalStateException error) {
                System.out.println(error.getMessage());
            }
        }
    }
}
